"""The rows of an arm: one teacher's, or those that a selection chooses, cut to the budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lnat_plugins.errors import DataError
from lnat_plugins.scores import Scores
from lnat_plugins.selection import Selection
from lnat_plugins.selection.answers import as_trained
from lnat_plugins.study.spec import Budget, StudySpec, Utility
from lnat_plugins.study.units import Unit

_OVER: str = "over the study's budget"


def rows_of(
    unit: Unit, study: StudySpec, scores: Scores, *, longer: bool = False
) -> tuple[Scores, Selection]:
    """What the unit trains on: the scored responses it chooses from, and the chosen ones.

    A teacher's arm has a row of each prompt; of several samples, one drawn with the study's
    `shuffle`. All arms take prompts in the same order, so that equal budgets are of the same
    prompts as far as these have rows.

    Args:
        longer: of a calibration, whether the rows are those of the longer training: of all prompts
            that are not held out.

    Raises:
        ConfigError, DataError: as `Scores.select_by_block`; fewer rows or tokens than the budget;
            a teacher without a row among the prompts that come first.
    """
    where = f"{study.source}: {unit.name}"
    if unit.kind != "selection":
        scores = scores.only([unit.arm])
        block: Mapping[str, Any] = {"strategy": "random", "seed": study.shuffle}
    else:
        block = study.selections[unit.arm]
    selection = scores.select_by_block({"windows": list(scores.windows), **block}, where)
    if unit.budget is not None:
        return scores, within(selection, unit.budget, scores, study.shuffle, where)
    if unit.kind == "warm":
        key, unused = "warm", held_out(study, scores)
    else:
        key, (first, measured) = "utility", update_prompts(study, scores)
        unused = measured if longer else set(scores.scored.prompts) - first
    kept = [i for i in selection.indices if selection.prompts[i] not in unused]
    if not kept:
        raise DataError(
            "the teacher has no row at the prompts that come first", where=where, found=unit.arm,
            remedy=f"raise `{key}: rows`",
        )  # fmt: skip
    return scores, _cut(selection, kept)


def update_prompts(study: StudySpec, scores: Scores) -> tuple[set[str], set[str]]:
    """The prompts of an update of `utility`, and those behind them on which it is measured.

    Raises:
        DataError: none is left to measure on.
    """
    utility = study.utility or Utility()
    places = prompt_order(scores.scored.prompts, study.shuffle)
    end = utility.rows + utility.held_out
    first = {prompt for prompt, place in places.items() if place < utility.rows}
    measured = {prompt for prompt, place in places.items() if utility.rows <= place < end}
    if not measured:
        raise DataError(
            "no prompt is left to measure an update on", where=f"{study.source}: utility",
            found=f"{len(places)} prompts, `rows: {utility.rows}`", remedy="lower `utility: rows`",
        )  # fmt: skip
    return first, measured


def held_out(study: StudySpec, scores: Scores) -> set[str]:
    """The prompts that no warm-up is trained on: those behind the first in the study's order.

    The same for all teachers, also for one that lacks rows for some of the first ones.
    """
    places = prompt_order(scores.scored.prompts, study.shuffle)
    first = study.warm.rows if study.warm else 0
    return {prompt for prompt, place in places.items() if place >= first}


def within(
    selection: Selection, budget: Budget, scores: Scores, shuffle: int, where: str = ""
) -> Selection:
    """The chosen rows up to a budget, by prompts in an order that is the same for all arms.

    Args:
        selection: made from `scores`.
        budget: rows, or tokens as training reads them; the row that goes beyond it is left out,
            and so is all that follows.
        shuffle: seed of the order of prompts.

    Raises:
        DataError: the chosen rows do not fill the budget.
    """
    if budget.rows is None and budget.tokens is None:
        return selection
    places = prompt_order(scores.scored.prompts, shuffle)
    indices = sorted(selection.indices, key=lambda i: (places[selection.prompts[i]], i))
    times = Counter(selection.rows)
    if budget.rows is not None:
        costs, most, unit = [times[i] for i in indices], budget.rows, "rows"
    else:
        rows = as_trained(selection, scores.candidates, indices)
        lengths = scores.scored_student.training_tokens(rows)
        costs = [times[i] * length for i, length in zip(indices, lengths, strict=True)]
        most, unit = budget.tokens or 0, "tokens"
    if sum(costs) < most:
        raise DataError(
            f"fewer {unit} than the study's budget", where=where, found=f"{sum(costs)} of {most}",
            remedy="lower the budget, or give more prompts",
        )  # fmt: skip
    n_kept = int(np.searchsorted(np.cumsum(costs), most, side="right"))
    if not n_kept:
        raise DataError(
            "the first row is longer than the budget", where=where, found=f"{costs[0]} {unit}",
            remedy="raise the budget",
        )  # fmt: skip
    return _cut(selection, indices[:n_kept])


def _cut(selection: Selection, kept: Sequence[int]) -> Selection:
    """The selection with these of its rows."""
    weights = dict(zip(selection.indices, selection.weights, strict=True))
    all_kept = set(kept)
    over = dict.fromkeys(set(selection.indices) - all_kept, _OVER)
    return replace(
        selection,
        indices=tuple(sorted(kept)),
        weights=tuple(weights[index] for index in sorted(kept)),
        sequence=tuple(index for index in selection.sequence if index in all_kept),
        answers_only=tuple(i for i in selection.answers_only if i in all_kept),
        answers_left_whole=tuple(i for i in selection.answers_left_whole if i in all_kept),
        reasons=dict(sorted({**selection.reasons, **over}.items())),
    )


def prompt_order(prompts: Sequence[str], shuffle: int) -> dict[str, int]:
    """Prompt -> its place in an order drawn with that seed."""
    order = np.random.default_rng(shuffle).permutation(len(prompts))
    return {prompts[i]: place for place, i in enumerate(order.tolist())}
