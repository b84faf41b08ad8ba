"""The benchmark's figures as markdown: the table, its notes, and the targets.

Knows nothing of models, and computes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from _report import Agreement, Comparison, Line
from _targets import Target
from pytablewriter import MarkdownTableWriter
from pytablewriter.style import Style
from pytablewriter.typehint import String

HEADERS: Final = (
    *("Workload", "Windows", "Contender", "Prompt tokens", "Body tokens", "Padding"),
    *("Projected", "Timed", "Seconds", "Tokens/s", "Peak MiB", "lm-eval / this", "by CPU"),
    *("this / floor", "by CPU", "Host side", "Of matmul"),
)
FLOOR: Final = (
    "The floor leaves out what a contender has to do besides: reading the prompts, every token's"
    " attention to its prompt, padding, planning."
)
_WORDS: Final = 3


def figures(comparisons: Sequence[Comparison], rate: float, tolerance: float) -> str:
    """The table, and below it a line for each workload and window set."""
    rows = [_row(one, line, rate) for one in comparisons for line in one.lines]
    what = dict.fromkeys(f"{one.lines[0].workload}: {one.note}." for one in comparisons)
    notes = [FLOOR, *what, *(_note(comparison, tolerance) for comparison in comparisons)]
    return _table(HEADERS, rows, _WORDS) + "\n" + "".join(f"- {note}\n" for note in notes)


def targets_table(found: Sequence[Target]) -> str:
    """What was aimed at, what was measured."""
    rows = [
        [
            *(one.what, one.where, f"{one.sign} {one.bound:g}", _three(one.found)),
            "met" if one.met else "missed",
        ]
        for one in found
    ]
    return _table(("Target", "Workload", "Bound", "Found", "Met"), rows, 2)


def _table(headers: Sequence[str], rows: list[list[str]], words: int) -> str:
    writer = MarkdownTableWriter(headers=headers, value_matrix=rows)
    writer.margin = 1
    writer.type_hints = [String] * len(headers)
    aligned = ("left" if i < words else "right" for i in range(len(headers)))
    writer.column_styles = [Style(align=align) for align in aligned]
    return str(writer.dumps())


def _row(comparison: Comparison, line: Line, rate: float) -> list[str]:
    counts = (line.prompt_tokens, line.body_tokens, line.padding_tokens, line.projected_tokens)
    best = line.kind == "lm_eval" and line is comparison.line("lm_eval")
    return [
        line.workload,
        line.windows,
        line.contender + (" (best)" if best else ""),
        *(f"{n:,}" for n in counts),
        _timed(line),
        _three(line.seconds),
        f"{line.tokens_per_second:,.0f}",
        "" if line.memory is None else f"{line.memory / 2**20:,.0f}",
        *(_two(comparison.faster(line, cpu=cpu)) for cpu in (False, True)),
        *(_two(comparison.above(line, cpu=cpu)) for cpu in (False, True)),
        "" if line.host_share is None else f"{line.host_share:.1%}",
        f"{line.matmul_share(rate):.0%}",
    ]


def _timed(line: Line) -> str:
    """How often, which part, and with how many of the layers."""
    share = "whole" if line.share == 1 else f"{line.share:.2%}"
    fewer = line.layers != line.all_layers
    layers = f", {line.layers} of {line.all_layers} layers" if fewer else ""
    return f"{share} × {len(line.readings)}{layers}"


def _two(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def _three(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _note(comparison: Comparison, tolerance: float) -> str:
    first = comparison.lines[0]
    parts = [f"{first.workload}, windows {first.windows}:"]
    parts += [f"{line.contender}: {line.note}." for line in comparison.lines if line.note]
    parts += [f"{text}." for text in comparison.left_out]
    parts += [_agreement(comparison.agreement, tolerance)] if comparison.agreement.compared else []
    return " ".join(parts)


def _agreement(agreement: Agreement, tolerance: float) -> str:
    text = (
        f"{agreement.compared} step sums by lm-eval on token ids and all of ours: they differ by"
        f" {agreement.largest:.2g} nats at most, by {agreement.by_token:.2g} a token on average."
    )
    if agreement.glued is not None:
        text += (
            f" lm-eval on glued strings: {agreement.glued} of {agreement.compared} differ by more"
            f" than {tolerance:g} nats, by {agreement.glued_largest:.2g} at most."
        )
    if agreement.unanswered:
        text += f" {agreement.unanswered} requests left out: gluing leaves lm-eval no token."
    return text
