"""A ranking as text, in the look of lm-eval's own tables. Knows nothing of files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from lnat_plugins._tables import markdown_table
from lnat_plugins.ranking.agreement import Agreement
from lnat_plugins.ranking.confounds import Confounds
from lnat_plugins.ranking.notes import needed_prompts
from lnat_plugins.ranking.reference_fit import ReferenceFit
from lnat_plugins.ranking.result import Ranking
from lnat_plugins.ranking.stability import SURE
from lnat_plugins.ranking.wording import number, plural, share_of, span

ARROW: Final = {True: "↑", False: "↓"}

MOST_RANKS: Final = 12
"""With more teachers than this, P(rank) is left to the json."""


def to_markdown(ranking: Ranking, title: Sequence[str] = ()) -> str:
    """Title lines, the teachers, how sure that is, what the score may echo, and the notes."""
    lines = (
        *_reference(ranking.reference),
        *_stability(ranking),
        *_context(ranking.confounds),
        _agreement(ranking.agreement, len(ranking.teachers)),
    )
    blocks = [
        "\n".join(title),
        _teachers(ranking),
        _ranks(ranking),
        _controls(ranking),
        _correlations(ranking.confounds),
        "\n".join(lines),
        "\n".join(f"- {note}" for note in (*ranking.notes, *ranking.confounds.notes)),
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
            ARROW[ranking.higher_is_better],
            number(line.mean),
            span(line.low, line.high, 4),
            number(line.median),
            number(line.difference),
            number(line.p_best, 3),
            number(line.win_rate, 3),
            number(line.coverage, 3),
        ]
        for line in ranking.teachers
    ]
    return markdown_table(headers, rows, left=4)


def _ranks(ranking: Ranking) -> str:
    """P(rank); nothing for one teacher or many, or without a resample."""
    n_teachers = len(ranking.teachers)
    if not 1 < n_teachers <= MOST_RANKS or math.isnan(ranking.teachers[0].p_best):
        return ""
    headers = ["P(rank)", *map(str, range(1, n_teachers + 1))]
    rows = [[line.teacher, *(number(p, 3) for p in line.p_rank)] for line in ranking.teachers]
    return markdown_table(headers, rows, left=1)


def _controls(ranking: Ranking) -> str:
    names = list(ranking.teachers[0].controls)
    repetition = ranking.confounds.repetition
    headers = ["Controls", *names, *(["repetition"] if repetition else []), "responses"]
    rows = [
        [
            line.teacher,
            *(number(line.controls[name]) for name in names),
            *([number(repetition[line.teacher], 3)] if repetition else []),
            str(line.responses),
        ]
        for line in ranking.teachers
    ]
    return markdown_table(headers, rows, left=1)


def _correlations(confounds: Confounds) -> str:
    found = confounds.correlations
    headers = ["Spearman of the score with", *(one.control for one in found)]
    everywhere = f"over {plural(found[0].responses, 'response')}"
    rows = [
        [everywhere, *(number(one.overall, 3) for one in found)],
        ["within prompts, mean", *(number(one.within_prompt, 3) for one in found)],
    ]
    return markdown_table(headers, rows, left=1)


def _reference(fit: ReferenceFit | None) -> Iterator[str]:
    if fit is None:
        return
    right = share_of(fit.pairwise_accuracy, fit.pairs)
    pairs = f"{right} pair{'' if fit.pairs == 1 else 's'} the known way round"
    if fit.ties_excluded:
        pairs += f" (known ties left out: {fit.ties_excluded})"
    regret = "" if math.isnan(fit.regret) else f", regret {number(fit.regret)}"
    yield (
        f"Against {fit.name}: Kendall's tau-b {number(fit.tau, 3)} "
        f"{span(fit.tau_low, fit.tau_high, 3)}, Spearman {number(fit.spearman, 3)}, {pairs}"
        f"{regret} (known best: {fit.best}, chosen: {fit.chosen})."
    )


def _stability(ranking: Ranking) -> Iterator[str]:
    found = ranking.stability
    if not found.sizes:
        return
    end = max(ranking.prompts_used, found.needed or found.sizes[-1])
    points = ", ".join(
        f"{size}: {number(p, 2)} ({number(tau, 2)})"
        for size, p, tau in zip(found.sizes, found.p_best, found.tau, strict=True)
        if size <= end
    )
    yield f"P(best) of {ranking.teachers[0].teacher}, and the order's tau-b, by prompts: {points}."
    if ranking.teachers[0].p_best >= SURE:
        yield needed_prompts(ranking)


def _context(confounds: Confounds) -> Iterator[str]:
    if confounds.context:
        shown = ", ".join(
            f"{window}: {'N/A' if math.isnan(share) else f'{100 * share:.0f}%'}"
            for window, share in confounds.context.items()
        )
        yield f"Of what precedes a step, the window shows: {shown}."


def _agreement(agreement: Agreement, n_teachers: int) -> str:
    at_window = f" at window {agreement.window}" if agreement.window != "global" else ""
    same = 0 if math.isnan(agreement.same_winner) else agreement.same_winner * agreement.prompts
    return (
        f"Agreement with {agreement.metric}{at_window}: Kendall's tau-b "
        f"{number(agreement.tau, 3)} over {plural(n_teachers, 'teacher')}, same winner "
        f"on {round(same)} of {plural(agreement.prompts, 'prompt')}."
    )
