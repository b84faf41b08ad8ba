"""The benchmark's figures: one line a side, as a markdown table and as JSON.

Knows nothing of models. Counts are those of a whole pass over the workload, and so are the
seconds; where only a part of lm-eval's requests was timed, `measured` says which part.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytablewriter import MarkdownTableWriter
from pytablewriter.style import Style
from pytablewriter.typehint import String

HEADERS: Final = (
    *("Workload", "Windows", "Side", "Forwards", "Prompt tokens", "Body tokens", "Padding"),
    *("Projected", "Measured", "Seconds", "Tokens/s", "Tokens ratio", "Time ratio"),
    "CPU ratio",
)


@dataclass(frozen=True)
class Line:
    """One side on one workload and window set.

    Args:
        prompt_tokens: read in prompts; body_tokens: read after them; padding_tokens: read
            for nothing; projected_tokens: positions projected to the vocabulary.
        measured: the part of the pass that was timed, 0 to 1.
        timed_seconds: wall seconds of that part, one for each repeat.
        timed_cpu_seconds: the same in seconds of processor time, over all threads.
        seconds, cpu_seconds: their medians, scaled to the whole pass.
    """

    workload: str
    windows: str
    side: str
    is_baseline: bool
    forwards: int
    prompt_tokens: int
    body_tokens: int
    padding_tokens: int
    projected_tokens: int
    measured: float
    timed_seconds: tuple[float, ...]
    timed_cpu_seconds: tuple[float, ...]
    seconds: float
    cpu_seconds: float

    @property
    def tokens(self) -> int:
        """Tokens read, without padding."""
        return self.prompt_tokens + self.body_tokens

    @property
    def tokens_per_second(self) -> float:
        """Tokens read in a second."""
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Agreement:
    """How far apart numbers are that should be equal, in nats on a step sum.

    Args:
        compared: steps and windows compared.
        engine: largest difference between lm-eval on token ids and the engine's paths.
        glued: steps whose number moves by more than the tolerance where lm-eval is given
            strings instead; None where there are no strings.
        glued_largest: the largest of these moves.
        unanswered: requests that lm-eval cannot take, because gluing leaves no token.
    """

    compared: int
    engine: float
    glued: int | None = None
    glued_largest: float = 0.0
    unanswered: int = 0


@dataclass(frozen=True)
class Comparison:
    """The sides of one workload and window set."""

    note: str
    lines: tuple[Line, ...]
    agreement: Agreement

    @property
    def best(self) -> Line:
        """lm-eval at its fastest batch size: what the ratios are taken against."""
        return min((x for x in self.lines if x.is_baseline), key=lambda x: x.seconds)

    def time_ratio(self, line: Line) -> float:
        """Seconds of the best baseline / seconds of this side."""
        return self.best.seconds / line.seconds

    def cpu_ratio(self, line: Line) -> float:
        """The same in processor time, which other work on the machine disturbs less."""
        return self.best.cpu_seconds / line.cpu_seconds

    def tokens_ratio(self, line: Line) -> float:
        """Tokens read by the best baseline / tokens read by this side."""
        return self.best.tokens / line.tokens


def median_line(timed: Sequence[tuple[float, float]], scale: float, **fields: Any) -> Line:
    """A line from the (wall, processor) seconds of its repeats."""
    wall, cpu = zip(*timed, strict=True)
    return Line(
        **fields,
        timed_seconds=wall,
        timed_cpu_seconds=cpu,
        seconds=statistics.median(wall) * scale,
        cpu_seconds=statistics.median(cpu) * scale,
    )


def to_markdown(comparisons: Sequence[Comparison], tolerance: float) -> str:
    """The table, and below it a line for each workload and window set."""
    rows = [_row(comparison, line) for comparison in comparisons for line in comparison.lines]
    writer = MarkdownTableWriter(headers=HEADERS, value_matrix=rows)
    writer.margin = 1
    writer.type_hints = [String] * len(HEADERS)
    writer.column_styles = [Style(align="left" if i < 3 else "right") for i in range(len(HEADERS))]
    notes = [_note(comparison, tolerance) for comparison in comparisons]
    return f"{writer.dumps()}\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def to_json(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """The same with nothing rounded."""
    return [
        {
            "workload": comparison.best.workload,
            "windows": comparison.best.windows,
            "note": comparison.note,
            "agreement": dataclasses.asdict(comparison.agreement),
            "sides": [
                dataclasses.asdict(line)
                | {
                    "tokens": line.tokens,
                    "tokens_per_second": line.tokens_per_second,
                    "tokens_ratio": comparison.tokens_ratio(line),
                    "time_ratio": comparison.time_ratio(line),
                    "cpu_ratio": comparison.cpu_ratio(line),
                }
                for line in comparison.lines
            ],
        }
        for comparison in comparisons
    ]


def _row(comparison: Comparison, line: Line) -> list[str]:
    counts = (line.forwards, line.prompt_tokens, line.body_tokens, line.padding_tokens)
    return [
        line.workload,
        line.windows,
        line.side + (" (best)" if line is comparison.best else ""),
        *(f"{n:,}" for n in (*counts, line.projected_tokens)),
        f"{line.measured:.0%}",
        f"{line.seconds:.3g}" if line.seconds < 100 else f"{line.seconds:,.0f}",
        f"{line.tokens_per_second:,.0f}",
        f"{comparison.tokens_ratio(line):.2f}",
        f"{comparison.time_ratio(line):.2f}",
        f"{comparison.cpu_ratio(line):.2f}",
    ]


def _note(comparison: Comparison, tolerance: float) -> str:
    best, agreement = comparison.best, comparison.agreement
    text = (
        f"{best.workload}, windows {best.windows}: {comparison.note}. lm-eval on token ids and"
        f" ours, {agreement.compared} step sums: max |difference| {agreement.engine:.2g} nats."
    )
    if agreement.glued is not None:
        text += (
            f" lm-eval on glued strings: {agreement.glued} of {agreement.compared} differ by more"
            f" than {tolerance:g} nats, by {agreement.glued_largest:.2g} at most."
        )
    if agreement.unanswered:
        text += f" {agreement.unanswered} requests left out: gluing leaves lm-eval no token."
    return text
