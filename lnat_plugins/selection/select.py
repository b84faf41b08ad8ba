"""Choosing rows: filters, then scores, then the strategy.

A row that is dropped keeps the reason of the first step that it failed. Shapes: N candidates.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lnat_plugins.errors import (
    PASSES_ON,
    ConfigError,
    DataError,
    LnatError,
    as_float,
    class_and_text,
    is_text,
    shorten,
    visible,
)
from lnat_plugins.formatting import plural
from lnat_plugins.metrics import score_again
from lnat_plugins.metrics.base import LARGEST
from lnat_plugins.ranking.table import Floats
from lnat_plugins.scoring.record import ScoredResponse
from lnat_plugins.selection import conditions
from lnat_plugins.selection.base import Choice, ScoredCandidates, Strategy, tolerance
from lnat_plugins.selection.result import (
    CORRECT,
    DUPLICATE,
    INCORRECT,
    NARROW,
    NOT_GIVEN,
    SCRIPTED,
    TOO_LONG,
    UNDEFINED,
    WHERE,
    Selection,
    category,
)
from lnat_plugins.selection.spec import SelectionSpec
from lnat_plugins.selection.student import Student
from lnat_plugins.selection.weights import join_weights, read_weights
from lnat_plugins.teacher_set.prompts import Candidate, Candidates
from lnat_plugins.teacher_set.whole_conversations import first_scored

Reasons = MutableMapping[int, str]
"""Index of a row -> why it is dropped. Each filter adds to it, and returns the rows it keeps."""


def choose(candidates: Candidates, student: Student, spec: SelectionSpec) -> Selection:
    """Filter, score and choose: what decides unless a plugin does.

    The filters that need no score come first, so that nothing is scored that cannot be chosen.

    Raises:
        DataError: nothing is left; says how many rows each step dropped.
        ConfigError: a filter or the strategy cannot be applied to these candidates, or the
            strategy fails or returns no valid choice.
    """
    strategy = spec.strategy
    if strategy.check is not None:
        _call(strategy, strategy.check, spec.options, candidates.teachers, spec.source)
    weights = None
    if spec.weights is not None:
        weights = read_weights(spec.weights, f"{spec.source}: weights")
    reasons: dict[int, str] = {}
    rows: Sequence[Candidate] = drop_prompts(candidates.rows, spec, reasons)
    _refuse_empty(rows, reasons, spec)
    if spec.require_correct:
        rows = drop_incorrect(rows, reasons, spec.source)
    weight_of = None
    if weights is not None:
        weight_of, without = join_weights(rows, weights)
        reasons.update(without)
        rows = [row for row in rows if row.index in weight_of]
    return _choose_among(rows, reasons, candidates, student, spec, weight_of)


def choose_rejected(candidates: Candidates, student: Student, spec: SelectionSpec) -> Selection:
    """The wrong row of each prompt that scores best, by the same metric, window and filters.

    Only rows known to be wrong can be chosen.

    Args:
        spec: its metric, window, `max_length` and `drop_duplicates` count; its strategy is best.

    Raises:
        ConfigError: no row is known to be wrong.
        DataError: as `choose`.
    """
    rows = [row for row in candidates.rows if row.response.correct is False]
    if not rows:
        raise ConfigError(
            "a rejected row must be known to be wrong, and no row is",
            where=spec.source,
            remedy="name the column that says so under `columns: {correct: ...}`, or take a set "
            "with wrong rows too",
        )
    words = {None: NOT_GIVEN, True: CORRECT}
    others = [row for row in candidates.rows if row.response.correct is not False]
    reasons = {row.index: words[row.response.correct] for row in others}
    return _choose_among(rows, reasons, candidates, student, spec)


def _choose_among(
    rows: Sequence[Candidate],
    reasons: dict[int, str],
    candidates: Candidates,
    student: Student,
    spec: SelectionSpec,
    weight_of: Mapping[int, float] | None = None,
) -> Selection:
    """Choose among these rows of the candidates; the others have their reasons.

    `weight_of`: index -> weight of each row, where they do not come from the strategy.
    """
    strategy = spec.strategy
    rows = drop_scripted(rows, reasons)
    if spec.drop_duplicates:
        rows = drop_duplicates(rows, reasons)
    if spec.max_length is not None and rows:
        rows = drop_long(rows, student.training_tokens(rows), spec.max_length, reasons)
    _refuse_empty(rows, reasons, spec)

    values_N = np.full(len(candidates.rows), np.nan)
    parts_2N = None
    if spec.needs_scores:
        values_N, parts_2N = _score(rows, len(values_N), student, spec, reasons)
        rows = [row for row in rows if row.index not in reasons]
        rows = drop_prompts(rows, spec, reasons, values_N)
        _refuse_empty(rows, reasons, spec)
    scores_N = values_N if spec.metric.higher_is_better else -values_N
    if spec.min_margin is not None:
        rows = drop_narrow(rows, scores_N, spec.min_margin, reasons)
        _refuse_empty(rows, reasons, spec)

    index_n = [row.index for row in rows]
    scored = "scores" in strategy.needs
    tokens = student.response_tokens(rows) if "tokens" in strategy.needs else [0] * len(rows)
    given = ScoredCandidates(
        rows=tuple(rows),
        scores=scores_N[index_n] if scored else np.zeros(len(rows)),
        tokens=np.array(tokens),
        options=spec.options,
        seed=spec.seed,
        higher_is_better=bool(spec.metric.higher_is_better),
        parts=parts_2N[:, index_n] if scored and parts_2N is not None else None,
    )
    choice = _checked(_call(strategy, strategy.choose, given), len(rows), strategy)
    chosen = {rows[position].index: position for position in choice.positions}
    for position, row in enumerate(rows):
        if row.index not in chosen:
            reasons[row.index] = choice.reasons.get(position, strategy.default_reason)
    _refuse_empty(chosen, reasons, spec)
    weights = choice.weights or dict.fromkeys(choice.positions, 1.0)
    if weight_of is not None:
        weights = {position: weight_of[index] for index, position in chosen.items()}
    metric = spec.metric if spec.needs_scores else None
    return Selection(
        indices=tuple(sorted(chosen)),
        weights=tuple(weights[chosen[index]] for index in sorted(chosen)),
        scores=tuple(map(float, values_N)),
        reasons=dict(sorted(reasons.items())),
        teachers=tuple(row.teacher for row in candidates.rows),
        prompts=tuple(row.prompt_id for row in candidates.rows),
        strategy=strategy.name,
        metric=metric.name if metric else None,
        window=spec.window if metric else None,
        higher_is_better=metric.higher_is_better if metric else None,
        ties=choice.ties,
        settings=dict(spec.written),
        pool=candidates.fingerprint,
        student=student.name,
    )


def drop_prompts(
    rows: Sequence[Candidate], spec: SelectionSpec, reasons: Reasons, values_N: Floats | None = None
) -> Sequence[Candidate]:
    """Keep prompts that meet the conditions on their rows or, with the scores, on these."""
    dropped = conditions.unmet(spec.where, rows, values_N)
    reasons.update((index, f"{WHERE}: {reason}") for index, reason in dropped.items())
    return [row for row in rows if row.index not in dropped]


def drop_incorrect(rows: Sequence[Candidate], reasons: Reasons, source: str) -> list[Candidate]:
    """Keep rows known to be correct. ConfigError if no row says whether it is."""
    if all(row.response.correct is None for row in rows):
        raise ConfigError(
            "`require_correct` needs a column that says which rows are correct, and none does",
            where=source,
            remedy="name it under `columns: {correct: ...}`, or remove `require_correct`",
        )
    words = {None: NOT_GIVEN, False: INCORRECT}
    reasons.update({r.index: words[r.response.correct] for r in rows if not r.response.correct})
    return [row for row in rows if row.response.correct]


def drop_scripted(rows: Sequence[Candidate], reasons: Reasons) -> list[Candidate]:
    """Keep conversations whose turns of the assistant are all the teacher's, from its first on."""
    for row in rows:
        turns = row.response.turns
        if turns is not None and any(one.get("scripted") for one in turns[first_scored(turns) :]):
            reasons[row.index] = SCRIPTED
    return [row for row in rows if row.index not in reasons]


def drop_duplicates(rows: Sequence[Candidate], reasons: Reasons) -> list[Candidate]:
    """Keep the first of equal responses (character by character) to one prompt."""
    first: dict[tuple[str, str, str], Candidate] = {}
    for row in rows:
        # Of a conversation also what others wrote in it.
        turns = "" if row.response.turns is None else json.dumps(row.response.turns, default=str)
        kept = first.setdefault((row.prompt_id, row.text, turns), row)
        if kept is not row:
            reasons[row.index] = f"{DUPLICATE}: {kept.teacher} gave the same response before"
    return list(first.values())


def drop_long(
    rows: Sequence[Candidate], tokens: Sequence[int], max_length: int, reasons: Reasons
) -> list[Candidate]:
    """Keep rows of at most `max_length` tokens, as training would read them."""
    for row, length in zip(rows, tokens, strict=True):
        if length > max_length:
            reasons[row.index] = f"{TOO_LONG}: {length} tokens"
    return [row for row in rows if row.index not in reasons]


def drop_narrow(
    rows: Sequence[Candidate], scores_N: Floats, margin: float, reasons: Reasons
) -> list[Candidate]:
    """Keep prompts whose best row leads the second best by at least `margin`.

    A prompt with one row has no rival and is kept. Rounding does not take a lead away: -1.0 leads
    -1.2 by 0.2.
    """
    scores: dict[str, list[float]] = {}
    for row in rows:
        scores.setdefault(row.prompt_id, []).append(float(scores_N[row.index]))
    narrow = {}
    for prompt_id, found in scores.items():
        best, *others = sorted(found, reverse=True)
        lead = best - others[0] if others else math.inf
        if lead < margin - tolerance(best):
            narrow[prompt_id] = f"{NARROW}: the best row leads by {lead:.4g}"
    reasons.update({row.index: narrow[row.prompt_id] for row in rows if row.prompt_id in narrow})
    return [row for row in rows if row.prompt_id not in narrow]


def _score(
    rows: Sequence[Candidate], size: int, student: Student, spec: SelectionSpec, reasons: Reasons
) -> tuple[Floats, Floats | None]:
    """(N,) the metric, and (2, N) its parts if it is a ratio of means; NaN where undefined.

    A metric that looks beyond one response sees these rows only.
    """
    metric = spec.metric
    scored = list(map(ScoredResponse, rows, student.score(rows)))
    values_N = np.full(size, math.nan)
    parts_2N = None if metric.parts is None else np.full((2, size), math.nan)
    ratings = metric.rate(scored, spec.window or "")
    for row, value, reason in zip(scored, *ratings, strict=True):
        index = row.candidate.index
        if metric.parts is not None and parts_2N is not None and not reason:
            parts_2N[:, index] = metric.parts_of(row.record, spec.window or "")
            if not np.isfinite(parts_2N[:, index]).all():
                reason = "the value is not finite"
            elif parts_2N[1, index] == 0:
                reason = "the denominator is 0"
        if reason:
            reasons[index] = f"{UNDEFINED}: {reason}"
        else:
            values_N[index] = value
    return values_N, parts_2N


def _call(strategy: Strategy, function: Callable[..., Any], *arguments: object) -> Any:
    """Call a strategy's function. What it refuses passes; any other exception names its owner."""
    try:
        return function(*arguments)
    except (LnatError, *PASSES_ON):
        raise
    except BaseException as cause:
        raise strategy.failed(cause) from cause


def _checked(choice: object, size: int, strategy: Strategy) -> Choice:
    """The strategy's choice of `size` rows, in plain numbers; ConfigError if it is not valid."""
    if not isinstance(choice, Choice):
        raise ConfigError(
            f"strategy {strategy.name} gave no `Choice`",
            where=strategy.owner, found=choice, remedy="fix the strategy",
        )  # fmt: skip
    try:
        weights = choice.weights
        plain = Choice(
            tuple(map(operator.index, choice.positions)),
            None
            if weights is None
            else {operator.index(i): weight for i, weight in weights.items()},
            {operator.index(i): reason for i, reason in choice.reasons.items()},
            operator.index(choice.ties),
        )
    except (TypeError, AttributeError) as cause:
        problem = f"it cannot be read ({cause})"
    except (LnatError, *PASSES_ON):
        raise
    except BaseException as cause:  # noqa: BLE001 - of a generator, too
        problem = f"it cannot be read ({class_and_text(cause)})"
    else:
        problem = _problem(plain, size)
    if problem:
        what = f"strategy {strategy.name} gave no valid choice: {problem}"
        raise ConfigError(what, where=strategy.owner, remedy="fix the strategy")
    weights = plain.weights and {i: float(weight) for i, weight in plain.weights.items()}
    return replace(
        plain, weights=weights, reasons={i: visible(why) for i, why in plain.reasons.items()}
    )


def _problem(choice: Choice, size: int) -> str:
    """What is wrong with a strategy's choice; "" if nothing."""
    if not set(choice.positions) <= set(range(size)):
        return f"a position outside of 0 to {size - 1}"
    if len(set(choice.positions)) < len(choice.positions):
        return "a duplicate position"
    if choice.weights is not None and set(choice.weights) != set(choice.positions):
        return "weights for other rows than the chosen ones"
    weights: Iterable[object] = (choice.weights or {}).values()
    for weight in weights:
        number = as_float(weight)
        if number is None:
            return f"a weight that is no number, {shorten(weight)}"
        if not 0 <= number < math.inf:
            return "a weight that is negative or not finite"
        if number > LARGEST:
            return f"a weight beyond {LARGEST:g}"
    for reason in choice.reasons.values():
        if not is_text(reason):
            return f"a reason that is no text, {shorten(reason)}"
    return "a negative number of ties" if choice.ties < 0 else ""


def _refuse_empty(left: object, reasons: Mapping[int, str], spec: SelectionSpec) -> None:
    if left:
        return
    by_category: dict[str, list[str]] = {}
    for reason in reasons.values():
        by_category.setdefault(category(reason), []).append(reason)
    dropped = "; ".join(
        # The detail too, if all rows of the category share it.
        f"{plural(len(found), 'row')}: {name if len(set(found)) > 1 else found[0]}"
        for name, found in sorted(by_category.items(), key=lambda one: -len(one[1]))
    )
    not_gathered = any("was not gathered" in reason for reason in reasons.values())
    raise DataError(
        f"the selection would be empty ({dropped})",
        where=spec.source,
        remedy=score_again("the metric")
        if not_gathered
        else "loosen the setting that dropped most of them",
    )
