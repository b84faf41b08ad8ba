"""What records say to a race: the estimate of a response, and what it cost to read it."""

from __future__ import annotations

import dataclasses
import math
from typing import Final, Literal

from lnat_plugins.budget.estimator import (
    Estimate,
    drawn_steps,
    known_steps,
    with_global_pass,
    without_global_pass,
)
from lnat_plugins.budget.pilot import Plan, Trace
from lnat_plugins.scoring.part import Part
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.steps.windows import GLOBAL, Window, parse_window

Mode = Literal["pilot", "exact"] | Plan
"""How a response is read: under the window and the whole context; every step under the window; or
as a plan says."""

_NOTHING: Final = Estimate(math.nan, math.nan)


def window_of(record: StepSums) -> Window:
    """The first window of the settings, which a budget is for."""
    return parse_window(record.settings["windows"][0])


def mean_of(record: StepSums, window: str) -> float:
    """The mean of all step means under a window; NaN if one is not known."""
    means = record.step_means(window)
    return math.fsum(means) / len(means) if means else math.nan


def estimate_of(record: StepSums) -> Estimate:
    """Local naturalness under the first window, from all steps or from those that were drawn.

    NaN if a step that was read has no score, or nothing was read.
    """
    window = window_of(record)
    local = record.step_means(window.name)
    if local is None:
        return _NOTHING
    if not record.part or len(record.part["steps"]) == record.n_steps:
        return Estimate(math.fsum(local) / len(local), 0.0)
    known = known_steps(window, record.n_steps)
    drawn = {step: local[step] for step in record.part["steps"] if step >= known}
    if not record.part["whole"]:
        return without_global_pass(local[:known], drawn, record.n_steps)
    whole = record.step_means(GLOBAL)
    return _NOTHING if whole is None else with_global_pass(whole, drawn, known)


def part_of(record: StepSums, mode: Mode, *, seed: int, prompt_id: str) -> Part:
    """The part of a response that is read.

    Equal responses to a prompt have equal parts, whoever wrote them.
    """
    n_steps, known = record.n_steps, known_steps(window_of(record), record.n_steps)
    if mode == "pilot":
        return Part(tuple(range(n_steps)), whole=True)
    if mode == "exact" or mode.steps is None:
        return Part(tuple(range(n_steps)), whole=False)
    drawn = drawn_steps(
        n_steps, known, mode.steps, seed=seed, prompt_id=prompt_id, teacher=record.ids_digest
    )
    if mode.way == "with_global_pass":
        return Part(drawn, whole=True)
    return Part((*range(known), *drawn), whole=False)


def counts_of(record: StepSums) -> list[int]:
    """Tokens of each step, those of tags included."""
    tags = record.tag_tokens or (0,) * record.n_steps
    return [own + tag for own, tag in zip(record.tokens, tags, strict=True)]


def tokens_of(record: StepSums, part: Part) -> int:
    """Tokens of the runs that a part takes, without the prompt, which all responses share."""
    counts = counts_of(record)
    ends: dict[int, int] = {}
    for window, steps in part.scored(window_of(record), record.n_steps).items():
        for step in steps:
            start = step - window.preceding(step)
            ends[start] = max(ends.get(start, 0), step + 1)
    # A run's last token is predicted, not read.
    return sum(sum(counts[start:end]) - 1 for start, end in ends.items())


def trace_of(record: StepSums, prompt_id: str) -> Trace | None:
    """A response of the pilot; None if a step of it has no score."""
    window = window_of(record)
    local, whole = record.step_means(window.name), record.step_means(GLOBAL)
    if local is None or whole is None or not all(map(math.isfinite, (*local, *whole))):
        return None
    return Trace(
        prompt_id, record.teacher, local, whole, counts_of(record), window, record.prompt_tokens
    )


def joined(first: StepSums, again: StepSums) -> StepSums:
    """A response that was read in part, and then again with every step: what both say."""
    return dataclasses.replace(
        again,
        sums={**first.sums, **again.sums},
        totals={**first.totals, **again.totals},
        tag_sums={**first.tag_sums, **again.tag_sums},
        undefined={**first.undefined, **again.undefined}
        if any(map(math.isnan, again.totals.values()))
        else {name: why for name, why in first.undefined.items() if name not in again.sums},
        part={**first.part, "steps": again.part["steps"]},
    )


def before(record: StepSums, part: Part) -> StepSums | None:
    """What the record of a response said before it was read again; None if it was not."""
    name, n_steps = window_of(record).name, record.n_steps
    sums = record.sums.get(name)
    if sums is None or not record.part or len(record.part["steps"]) < n_steps:
        return None
    known = known_steps(window_of(record), n_steps) if part.whole else 0
    kept = {*range(known), *part.steps}
    local = tuple(value if i in kept else math.nan for i, value in enumerate(sums))
    return dataclasses.replace(record, sums={**record.sums, name: local}, part=part.as_dict())
