"""Filters before any strategy: each takes rows away and writes down why.

Every filter returns the rows that it keeps, in order, and adds the others to `reasons`
(index -> reason). Knows nothing of metrics: `goodness` is higher where a row is better.

The way rows are chosen unless a plugin decides: filters, then scores, then the strategy.

Knows nothing of where rows, scores and names come from. A row that is left out keeps the
reason of the first step that it failed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, MutableMapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.metrics import Ratings, score_again
from lnat_plugins.ranking.table import TIE
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.selection.base import Choice, ScoredCandidates
from lnat_plugins.selection.result import Selection, category
from lnat_plugins.selection.spec import SelectionSpec
from lnat_plugins.selection.student import Student
from lnat_plugins.teacher_set.prompts import Candidate, Candidates

Reasons = MutableMapping[int, str]


def drop_incorrect(rows: Sequence[Candidate], reasons: Reasons, source: str) -> list[Candidate]:
    """Keeps rows known to be correct. ConfigError if no row says whether it is."""
    if all(row.response.correct is None for row in rows):
        raise ConfigError(
            "`require_correct` needs a column that says which rows are correct, and none does",
            where=source,
            remedy="name it under `columns: {correct: ...}`, or remove `require_correct`",
        )
    kept = []
    for row in rows:
        if row.response.correct:
            kept.append(row)
        elif row.response.correct is None:
            reasons[row.index] = "`correct` is not given"
        else:
            reasons[row.index] = "`correct` is false"
    return kept


def drop_duplicates(rows: Sequence[Candidate], reasons: Reasons) -> list[Candidate]:
    """Keeps the first of equal responses (character by character) to one prompt."""
    first: dict[tuple[str, str], Candidate] = {}
    for row in rows:
        kept = first.setdefault((row.prompt_id, row.text), row)
        if kept is not row:
            reasons[row.index] = f"duplicate: {kept.teacher} gave the same response before"
    return list(first.values())


def drop_long(
    rows: Sequence[Candidate], tokens: Sequence[int], max_length: int, reasons: Reasons
) -> list[Candidate]:
    """Keeps rows of at most `max_length` tokens, as training would read them."""
    kept = []
    for row, length in zip(rows, tokens, strict=True):
        if length <= max_length:
            kept.append(row)
        else:
            reasons[row.index] = f"longer than max_length: {length} tokens"
    return kept


def drop_undefined(rows: Sequence[Candidate], reasons: Mapping[int, str]) -> list[Candidate]:
    """Keeps rows that have no reason against them yet."""
    return [row for row in rows if row.index not in reasons]


def drop_narrow(
    rows: Sequence[Candidate], goodness_N: NDArray[np.float64], margin: float, reasons: Reasons
) -> list[Candidate]:
    """Keeps prompts whose best row leads the second best by at least `margin`.

    A prompt with one row has no rival and is kept. Rounding (`TIE`) does not take a lead away:
    -1.0 leads -1.2 by 0.2.
    """
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row.prompt_id, []).append(float(goodness_N[row.index]))
    narrow = {}
    for prompt_id, found in values.items():
        best, *others = sorted(found, reverse=True)
        lead = best - others[0] if others else math.inf
        if lead < margin - TIE * max(1.0, abs(best)):
            narrow[prompt_id] = f"below min_margin: the best row leads by {lead:.4g}"
    reasons.update({row.index: narrow[row.prompt_id] for row in rows if row.prompt_id in narrow})
    return [row for row in rows if row.prompt_id not in narrow]


def choose(pool: Candidates, student: Student, spec: SelectionSpec) -> Selection:
    """Filter, score and choose.

    The filters that need no score come first, so that nothing is scored that cannot be chosen.

    Raises:
        DataError: nothing is left; says how many rows each step took.
        ConfigError: a filter or the strategy cannot be applied to this pool, or the strategy's
            answer is no choice.
    """
    if spec.strategy.check is not None:
        spec.strategy.check(spec.options, pool.teachers, spec.source)
    reasons: dict[int, str] = {}
    rows: Sequence[Candidate] = pool.rows
    if spec.require_correct:
        rows = drop_incorrect(rows, reasons, spec.source)
    if spec.drop_duplicates:
        rows = drop_duplicates(rows, reasons)
    if spec.max_length is not None and rows:
        rows = drop_long(rows, student.training_tokens(rows), spec.max_length, reasons)
    _refuse_empty(rows, reasons, spec)

    values_N = np.full(len(pool.rows), np.nan)
    if spec.needs_scores:
        for row, value, reason in zip(rows, *rate(rows, student, spec), strict=True):
            values_N[row.index] = value
            if reason:
                reasons[row.index] = f"the score is undefined: {reason}"
        rows = drop_undefined(rows, reasons)
        _refuse_empty(rows, reasons, spec)
    goodness_N = values_N if spec.metric.higher_is_better else -values_N
    if spec.min_margin is not None:
        rows = drop_narrow(rows, goodness_N, spec.min_margin, reasons)
        _refuse_empty(rows, reasons, spec)
    contest = _contest(rows, goodness_N, student, spec)
    choice = spec.strategy.choose(contest)
    if complaint := _complaint(choice, len(rows)):
        raise ConfigError(
            f"strategy {spec.strategy.name!r} gave no valid choice: {complaint}",
            where=spec.source,
            remedy="mend the plugin that brings the strategy",
        )
    chosen = {contest.rows[position].index: position for position in choice.positions}
    for position, row in enumerate(contest.rows):
        if row.index not in chosen:
            reasons[row.index] = choice.reasons.get(position, spec.strategy.otherwise)
    _refuse_empty(chosen, reasons, spec)
    return _selection(pool, student, spec, values_N, chosen, choice, reasons)


def rate(rows: Sequence[Candidate], student: Student, spec: SelectionSpec) -> Ratings:
    """The metric of each row; one that looks beyond a response sees these rows only."""
    scored = [
        _Scored(row.prompt_id, row.response.teacher, record)
        for row, record in zip(rows, student.score(rows), strict=True)
    ]
    return spec.metric.rate(scored, spec.window or "")


class _Scored(NamedTuple):
    prompt_id: str
    teacher: str
    record: StepSums


def _contest(
    rows: Sequence[Candidate],
    goodness_N: NDArray[np.float64],
    student: Student,
    spec: SelectionSpec,
) -> ScoredCandidates:
    size = len(rows)
    needs = spec.strategy.needs
    return ScoredCandidates(
        rows=tuple(rows),
        goodness=goodness_N[[row.index for row in rows]] if "scores" in needs else np.zeros(size),
        tokens=np.array(student.response_tokens(rows) if "tokens" in needs else [0] * size),
        options=spec.options,
        seed=spec.seed,
        higher_is_better=bool(spec.metric.higher_is_better),
    )


def _complaint(choice: Choice, size: int) -> str:
    """What a strategy of someone else's may have got wrong; "" if nothing."""
    positions = choice.positions
    if not set(positions) <= set(range(size)):
        return f"a position outside of 0 to {size - 1}"
    if len(set(positions)) < len(positions):
        return "a position twice"
    if choice.weights is not None:
        if set(choice.weights) != set(positions):
            return "weights for other rows than the chosen ones"
        if not all(math.isfinite(weight) and weight >= 0 for weight in choice.weights.values()):
            return "a weight that is negative or not finite"
    return ""


def _selection(
    pool: Candidates,
    student: Student,
    spec: SelectionSpec,
    values_N: NDArray[np.float64],
    chosen: Mapping[int, int],
    choice: Choice,
    reasons: Mapping[int, str],
) -> Selection:
    indices = tuple(sorted(chosen))
    metric = spec.metric if spec.needs_scores else None
    return Selection(
        indices=indices,
        weights=tuple(
            1.0 if choice.weights is None else float(choice.weights[chosen[index]])
            for index in indices
        ),
        scores=tuple(map(float, values_N)),
        reasons=dict(sorted(reasons.items())),
        teachers=tuple(row.teacher for row in pool.rows),
        prompts=tuple(row.prompt_id for row in pool.rows),
        strategy=spec.strategy.name,
        metric=metric.name if metric else None,
        window=spec.window if metric else None,
        higher_is_better=metric.higher_is_better if metric else None,
        ties=choice.ties,
        settings=dict(spec.written),
        pool=pool.fingerprint,
        student=student.name,
    )


def _refuse_empty(left: object, reasons: Mapping[int, str], spec: SelectionSpec) -> None:
    if left:
        return
    counts = Counter(category(reason) for reason in reasons.values())
    whole: dict[str, set[str]] = {}
    for reason in reasons.values():
        whole.setdefault(category(reason), set()).add(reason)
    # A detail that all rows of a category share is told with it.
    told = {name: min(found) if len(found) == 1 else name for name, found in whole.items()}
    left_out = "; ".join(
        f"{count} row{'s' * (count > 1)}: {told[name]}" for name, count in counts.most_common()
    )
    raise DataError(
        f"the selection would be empty ({left_out})",
        where=spec.source,
        remedy=score_again("the metric")
        if any("was not gathered" in reason for reason in reasons.values())
        else "loosen what took most of them",
    )
