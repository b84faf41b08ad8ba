"""The verdict in words: no more than the intervals, the sensitivity and the student support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lnat_plugins.formatting import plural, roughly
from lnat_plugins.ranking.best_set import MOST, POWER
from lnat_plugins.ranking.bootstrap import LEVEL, RESAMPLES
from lnat_plugins.ranking.sensitivity import Sensitivity

FEWEST: Final = 10
"""Prompts below which there is no verdict."""

FEWEST_RESAMPLES: Final = 200
"""Resamples below which there is no verdict."""

FEW: Final = 30
"""Prompts below which the intervals are known to be too narrow."""

_MOST_NAMED: Final = 3


@dataclass(frozen=True)
class Verdict:
    """What may be said of the first place.

    Attributes:
        kind: "best" = one teacher may be best; "leads" = several may; "none" = nothing is said.
        text: the verdict as a sentence, or two.
        may_be_best: the teachers that may be best at `bootstrap.LEVEL`, highest score first;
            empty where there is no verdict.
        more_prompts: how many further prompts leave one teacher with a probability of
            `best_set.POWER`; None if one is left, or `best_set.MOST` times as many do not.
        next_step: what would settle more, as a sentence; "" where nothing is to be said.
    """

    kind: Literal["best", "leads", "none"]
    text: str
    may_be_best: tuple[str, ...]
    more_prompts: int | None
    next_step: str


def verdict(
    order: Sequence[str],
    may_be_best: Sequence[str],
    prompts: int,
    needed: int | None,
    sensitivity: Sensitivity,
    *,
    metric: str = "local_naturalness",
    resamples: int = RESAMPLES,
) -> Verdict:
    """The verdict on teachers in order, best first.

    Args:
        may_be_best: of `best_set`.
        prompts: used.
        needed: prompts in all, of `best_set`.
        sensitivity: named in the first sentence where the first teacher changes with it.
        metric: what ranks; named unless it is local naturalness.
        resamples: in which every teacher has a score.
    """
    first, size = order[0], f"{plural(len(order), 'teacher')}, {plural(prompts, 'prompt')}"
    by = "" if metric == "local_naturalness" else f" by {metric}"
    if len(order) == 1:
        text = f"No verdict: one teacher ({first}), nothing to compare."
        return _none(text, "score the answers of other teachers too")
    if prompts < FEWEST:
        text = (
            f"No verdict: {plural(prompts, 'prompt')} of {plural(len(order), 'teacher')}, and "
            f"{FEWEST} are the least that carry one. {first} has the best mean."
        )
        return _none(text, "score more prompts")
    if resamples < FEWEST_RESAMPLES:
        text = (
            f"No verdict: {plural(resamples, 'resample')} in which every teacher has a score, and "
            f"{FEWEST_RESAMPLES} are the least. {first} has the best mean ({size})."
        )
        return _none(text, "give more --bootstrap_iters")
    others = [name for name in may_be_best if name != first]
    more = None if needed is None else max(1, needed - prompts)
    if not others:
        text = f"{first} is best for this student{by} ({LEVEL:.0%}, {size})"
    else:
        text = f"{first} leads{by}; {_listed(others)} cannot be ruled out ({LEVEL:.0%}, {size})"
    text += _but(sensitivity, first)
    if others:
        text += _more(more, prompts)
    if prompts < FEW:
        text += f" With fewer than {FEW} prompts the intervals are too narrow."
    if others:
        step = "More prompts narrow the choice of a teacher."
        if more is None:
            step = "More prompts may not tell: these teachers may be equally good."
        return Verdict("leads", text, tuple(may_be_best), more, step)
    return Verdict("best", text, tuple(may_be_best), more, "")


def _none(text: str, remedy: str) -> Verdict:
    return Verdict("none", text, (), None, f"Next: {remedy}.")


def _but(sensitivity: Sensitivity, first: str) -> str:
    """The end of the first sentence: what puts another teacher first."""
    changing = [one for one in sensitivity.changing if one.usual[0] == first]
    if not changing:
        return "."
    ways: dict[str, list[str]] = {}
    for one in changing:
        ways.setdefault(one.order[0], []).append(one.where)
    named = [f"{teacher} leads {_listed(names)}" for teacher, names in ways.items()]
    return f", but it depends on the way of scoring: {'; '.join(named)}."


def _listed(names: Sequence[str]) -> str:
    """ "A", "A and B", "A, B and 3 more"."""
    kept = [*names[:_MOST_NAMED]]
    if rest := len(names) - len(kept):
        kept.append(f"{rest} more")
    return " and ".join([", ".join(kept[:-1]), kept[-1]] if len(kept) > 1 else kept)


def _more(more: int | None, prompts: int) -> str:
    if more is None:
        return f" The power stays below {POWER:.0%} up to {MOST * prompts:,} prompts."
    about = plural(roughly(more), "more prompt", separator=",")
    return f" About {about} would tell ({POWER:.0%} power)."
