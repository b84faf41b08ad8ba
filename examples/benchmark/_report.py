"""The benchmark's figures: one line a contender, and what is held against what.

Knows nothing of models and of how figures are printed. Counts are those of a whole pass over the
workload, and so are the seconds; where only a part of lm-eval's requests was timed, or fewer
layers than the figures are for, `seconds` is scaled and `readings` is what was measured.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from _clock import Reading
from _workloads import Flops


@dataclass(frozen=True)
class Line:
    """One contender on one workload and window set.

    Args:
        workload, windows, trace_tokens: what was scored.
        kind, contender: who; a kind may have several contenders.
        forwards: calls of the student.
        prompt_tokens: read in prompts; body_tokens: read after them; padding_tokens: read
            for nothing; projected_tokens: positions projected to the vocabulary.
        readings: the timed passes, as measured.
        share: the part of a pass that was timed, 0 to 1; scale: a whole pass / that part, in
            positions read.
        layers, all_layers: layers that were timed, and that the seconds are for.
        flops: of the student that the seconds are for.
        memory: peak bytes beyond the weights, with the layers that were timed, if measured.
        note: what else the table's reader should know.
    """

    workload: str
    kind: str
    windows: str
    contender: str
    trace_tokens: int
    forwards: int
    prompt_tokens: int
    body_tokens: int
    padding_tokens: int
    projected_tokens: int
    readings: tuple[Reading, ...]
    share: float
    scale: float
    layers: int
    all_layers: int
    flops: Flops
    memory: int | None = None
    note: str = ""

    @property
    def _stretched(self) -> list[Reading]:
        return [reading.stretched(self.all_layers / self.layers) for reading in self.readings]

    @property
    def seconds(self) -> float:
        """Wall seconds of a whole pass with all layers: the median of the repeats, scaled."""
        return self.scale * statistics.median(one.wall for one in self._stretched)

    @property
    def cpu_seconds(self) -> float:
        """The same in processor time."""
        return self.scale * statistics.median(one.cpu for one in self._stretched)

    @property
    def unstretched_seconds(self) -> float:
        """Wall seconds of a whole pass with the layers that were timed."""
        return self.scale * statistics.median(one.wall for one in self.readings)

    @property
    def tokens(self) -> int:
        """Tokens read, without padding."""
        return self.prompt_tokens + self.body_tokens

    @property
    def tokens_per_second(self) -> float:
        """Tokens read in a second."""
        return self.tokens / self.seconds

    @property
    def host_share(self) -> float | None:
        """The part of the wall time that our engine spends outside of the student, as timed."""
        if self.kind not in ("plain", "fast"):
            return None
        return statistics.median(1 - one.model / one.wall for one in self.readings)

    def matmul_share(self, rate: float) -> float:
        """Useful operations a second / the rate of a large matrix product."""
        work = self.flops.token * self.tokens + self.flops.projection * self.projected_tokens
        return work / self.seconds / rate


@dataclass(frozen=True)
class Agreement:
    """How far apart numbers are that should be equal, in nats.

    Args:
        compared: step sums of lm-eval's held against ours.
        largest: largest difference on a step sum between any two that read the same ids.
        by_token: the mean of those differences, each divided by the step's tokens.
        glued: steps whose number moves by more than the tolerance where lm-eval is given
            strings instead; None where there are no strings.
        glued_largest: the largest of these moves.
        unanswered: requests that lm-eval cannot take, because gluing leaves no token.
    """

    compared: int
    largest: float
    by_token: float
    glued: int | None = None
    glued_largest: float = 0.0
    unanswered: int = 0


@dataclass(frozen=True)
class Comparison:
    """The contenders on one workload and window set.

    Args:
        kind: the workload's, as `--workloads` knows it.
        note: what the workload is; left_out: contenders that could not take part, and why.
    """

    kind: str
    note: str
    lines: tuple[Line, ...]
    agreement: Agreement
    left_out: tuple[str, ...] = ()

    def line(self, kind: str) -> Line | None:
        """The contender of that kind; of several, as with lm-eval's batch sizes, the fastest."""
        found = [line for line in self.lines if line.kind == kind]
        return min(found, key=lambda line: line.seconds, default=None)

    def faster(self, line: Line, *, cpu: bool = False) -> float:
        """Seconds of lm-eval at its fastest / seconds of this one; NaN without lm-eval."""
        return _ratio(self.line("lm_eval"), line, cpu)

    def above(self, line: Line, *, cpu: bool = False) -> float:
        """Seconds of this one / seconds of the floor; NaN without the floor."""
        return 1 / _ratio(self.line("floor"), line, cpu)

    def tokens_ratio(self, line: Line) -> float:
        """Tokens read by lm-eval / tokens read by this one, padding left out."""
        best = self.line("lm_eval")
        return best.tokens / line.tokens if best else math.nan


def _ratio(other: Line | None, line: Line, cpu: bool) -> float:
    if other is None:
        return math.nan
    return other.cpu_seconds / line.cpu_seconds if cpu else other.seconds / line.seconds


def to_json(comparisons: Sequence[Comparison], rate: float) -> list[dict[str, Any]]:
    """All of it with nothing rounded; what is not there is null."""
    return [
        {
            "workload": comparison.lines[0].workload,
            "windows": comparison.lines[0].windows,
            "note": comparison.note,
            "left_out": comparison.left_out,
            "agreement": dataclasses.asdict(comparison.agreement),
            "contenders": [_line(comparison, line, rate) for line in comparison.lines],
        }
        for comparison in comparisons
    ]


def _line(comparison: Comparison, line: Line, rate: float) -> dict[str, Any]:
    derived = {
        "seconds": line.seconds,
        "cpu_seconds": line.cpu_seconds,
        "unstretched_seconds": line.unstretched_seconds,
        "tokens": line.tokens,
        "tokens_per_second": line.tokens_per_second,
        "host_share": line.host_share,
        "matmul_share": line.matmul_share(rate),
        "tokens_ratio": comparison.tokens_ratio(line),
        "faster": comparison.faster(line),
        "faster_cpu": comparison.faster(line, cpu=True),
        "above_floor": comparison.above(line),
        "above_floor_cpu": comparison.above(line, cpu=True),
    }
    known = {key: None if value != value else value for key, value in derived.items()}
    shown = {"readings": [one._asdict() for one in line.readings], "flops": line.flops._asdict()}
    return dataclasses.asdict(line) | shown | known
