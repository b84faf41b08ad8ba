"""The verdict in words: no more than the intervals, the sensitivity and the student support."""

from __future__ import annotations

from collections import Counter
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
        text: the verdict in short sentences: who leads, who may be as good, who leads when it is
            scored in other ways, what more prompts would do.
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
    grown_from: int = 0,
) -> Verdict:
    """The verdict on teachers in order, best first.

    Args:
        may_be_best: of `best_set`.
        prompts: used.
        needed: prompts in all, of `best_set`.
        sensitivity: the first sentence says so where the first teacher changes with it.
        metric: what ranks; the text names it.
        resamples: in which every teacher has a score.
        grown_from: prompts of an earlier look at fewer of these; 0 if this is the first.
    """
    first, size = order[0], f"{plural(len(order), 'teacher')}, {plural(prompts, 'prompt')}"
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
    elsewhere = _elsewhere(sensitivity, first)
    but = ", but not in every way of scoring" if elsewhere else ""
    if not others:
        text = (
            f"By {metric} {first} is best for this student{but} ({LEVEL:.0%}, {size}).{elsewhere}"
        )
    else:
        text = (
            f"By {metric} {first} leads{but} ({size}). {_listed(others)} may be as good or better "
            f"(not ruled out at {LEVEL:.0%}).{elsewhere}"
            f"{'' if grown_from else _more(more, prompts)}"
        )
    if prompts < FEW:
        text += f" With fewer than {FEW} prompts the intervals are too narrow."
    if grown_from:
        text += (
            f" {grown_from:,} of these prompts were scored before: the bounds hold at every look "
            "at a growing set, and are wider for it."
        )
    if others:
        step = "More prompts narrow the choice of a teacher."
        if more is None and not grown_from:
            step = f"{_listed(may_be_best)} may be equally good."
        return Verdict("leads", text, tuple(may_be_best), more, step)
    return Verdict("best", text, tuple(may_be_best), more, "")


def _none(text: str, remedy: str) -> Verdict:
    return Verdict("none", text, (), None, f"Next: {remedy}.")


def _elsewhere(sensitivity: Sensitivity, first: str) -> str:
    """Who leads, and how often, where the first teacher does not; "" where it always does."""
    leading = Counter(one.order[0] for one in sensitivity.changing if one.usual_first)
    if not leading:
        return ""
    ways = plural(len(sensitivity.variants), "other way")
    named = [f"{teacher} in {count}" for teacher, count in leading.items()]
    who = next(iter(leading)) if len(leading) == 1 else _listed(named)
    return f" In {leading.total()} of {ways} of scoring another teacher leads: {who}."


def _listed(names: Sequence[str]) -> str:
    """ "A", "A and B", "A, B and 3 more"."""
    kept = [*names[:_MOST_NAMED]]
    if rest := len(names) - len(kept):
        kept.append(f"{rest} more")
    return " and ".join([", ".join(kept[:-1]), kept[-1]] if len(kept) > 1 else kept)


def _more(more: int | None, prompts: int) -> str:
    """What more prompts would do. Below `POWER` they may still tell: no more is said."""
    if more is None:
        return (
            f" Even {MOST * prompts:,} prompts may not tell which is best (power below "
            f"{POWER:.0%})."
        )
    about = plural(roughly(more), "more prompt", separator=",")
    return f" About {about} would probably tell which is best ({POWER:.0%} power)."
