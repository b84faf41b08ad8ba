"""A ranking as text, in the look of lm-eval's own tables. Knows nothing of files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from lnat_plugins._tables import markdown_table
from lnat_plugins.ranking.result import Agreement, LengthCorrelation, Ranking

_ARROW: Final = {True: "↑", False: "↓"}


def to_markdown(ranking: Ranking, title: Sequence[str] = ()) -> str:
    """Title lines, the teachers, the controls, what the score may echo, and the notes."""
    blocks = [
        "\n".join(title),
        _teachers(ranking),
        _controls(ranking),
        "\n".join((_length(ranking.length), _agreement(ranking.agreement, len(ranking.teachers)))),
        "\n".join(f"- {note}" for note in ranking.notes),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _teachers(ranking: Ranking) -> str:
    headers = ["Teacher", "Metric", "Window", "", "Mean", "95% interval", "Median", "Difference"]
    headers += ["P(best)", "Win rate", "Coverage"]
    rows = [
        [
            line.teacher,
            ranking.metric,
            ranking.window or "",
            _ARROW[ranking.higher_is_better],
            number(line.mean),
            "N/A" if math.isnan(line.low) else f"[{number(line.low)}, {number(line.high)}]",
            number(line.median),
            number(line.difference),
            number(line.p_best, 3),
            number(line.win_rate, 3),
            number(line.coverage, 3),
        ]
        for line in ranking.teachers
    ]
    return markdown_table(headers, rows, left=4)


def _controls(ranking: Ranking) -> str:
    names = list(ranking.teachers[0].controls)
    rows = [
        [line.teacher, *(number(line.controls[name]) for name in names), str(line.responses)]
        for line in ranking.teachers
    ]
    return markdown_table(["Controls", *names, "responses"], rows, left=1)


def _length(length: LengthCorrelation) -> str:
    return (
        f"Spearman of the score with n_tokens: {number(length.overall, 3)} over "
        f"{length.responses} responses, {number(length.within_prompt, 3)} within prompts "
        f"(mean of {length.prompts})."
    )


def _agreement(agreement: Agreement, n_teachers: int) -> str:
    at_window = f" at window {agreement.window}" if agreement.window != "global" else ""
    same = 0 if math.isnan(agreement.same_winner) else agreement.same_winner * agreement.prompts
    return (
        f"Agreement with {agreement.metric}{at_window}: Kendall's tau-b "
        f"{number(agreement.tau, 3)} over {n_teachers} teachers, same winner on "
        f"{round(same)} of {agreement.prompts} prompts."
    )


def number(value: float, digits: int = 4) -> str:
    """The value as in lm-eval's tables; "N/A" if undefined; never "-0.0000"."""
    if math.isnan(value):
        return "N/A"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text
