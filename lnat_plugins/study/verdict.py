"""A study in sentences that claim no more than the intervals, the negative ones included."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from lnat_plugins.formatting import number, plural
from lnat_plugins.ranking.bootstrap import LEVEL
from lnat_plugins.study.ablation import Ablation
from lnat_plugins.study.agreement import FEWEST, Agreement, MetricAgreement
from lnat_plugins.study.arms import ArmTable
from lnat_plugins.study.gains import BEST_TEACHER, Compared, Gains
from lnat_plugins.study.pool import Pooled
from lnat_plugins.study.reliability import Reliability
from lnat_plugins.study.resample import Estimate
from lnat_plugins.study.students import Students
from lnat_plugins.study.utility import Calibration


def verdict(
    agreement: Agreement,
    reliability: Reliability,
    *,
    arms: ArmTable | None = None,
    gains: Gains | None = None,
    ablation: Ablation | None = None,
    utility: Calibration | None = None,
) -> tuple[str, ...]:
    """What may be said of one student and family of tasks, a sentence or two each.

    A metric agrees with the order after training only if the interval of its tau-b, teachers
    resampled and simultaneous over metrics, lies above 0; it is better than the baseline, or a
    selection gains, only if the interval of the difference does. Everything else "cannot be told
    apart".
    """
    return (
        _reliable(reliability),
        *(arms.warnings if arms is not None else ()),
        *_agreeing(agreement),
        *_against_baseline(agreement),
        *([] if utility is None else [utility.in_words()]),
        *_carried(agreement, ablation),
        *(_gaining(gains) if gains is not None else ()),
    )


def _reliable(found: Reliability) -> str:
    share, n = found.share, plural(found.teachers, "teacher")
    noise = f"{plural(found.seeds, 'seed')} and {plural(found.items, 'item')}"
    if math.isnan(share.value):
        return f"How reliable the order of {n} is, is not known: no teacher has two seeds."
    span = "" if math.isnan(share.low) or math.isnan(share.high) else f" {share.interval()}"
    said = f"{number(share.value, 2)}{span}"
    if found.is_noise:
        return (
            f"The {n} cannot be told apart after training: the share of variance beyond the noise "
            f"of {noise} is {said}. No metric can be judged by their order."
        )
    single = ""
    if not math.isnan(found.single_seeds):
        single = f", and two single seeds agree at {number(found.single_seeds, 2)}"
    return (
        f"Of the variance between {n} after training, a share of {said} is beyond the noise of "
        f"{noise}. A score that knows the true means is expected to reach tau-b "
        f"{number(found.largest_tau, 2)}{single}."
    )


def _agreeing(found: Agreement) -> Iterable[str]:
    known = [one for one in found.metrics if not math.isnan(one.fixed["tau"].value)]
    if not known:
        yield "No metric has an order of the teachers."
        return
    above = [one for one in known if one.resampled["tau"].above]
    below = [one for one in known if one.resampled["tau"].below]
    teachers = f"{plural(len(found.teachers), 'teacher')} resampled, {LEVEL:.0%}"
    if above:
        named = _named((one.metric, one.resampled["tau"]) for one in above)
        yield f"Agree with the order after training, tau-b ({teachers}): {named}."
    if below:
        named = _named((one.metric, one.resampled["tau"]) for one in below)
        yield f"Put teachers in the opposite order, tau-b ({teachers}): {named}."
    if not above and not below:
        yield (
            f"No order of {plural(len(known), 'metric')} can be told apart from a random one "
            f"({teachers})."
        )
    elif rest := len(known) - len(above) - len(below):
        yield f"{plural(rest, 'other metric')} cannot be told apart from a random order."
    if not math.isnan(found.random.expected):
        yield (
            f"A random order reaches |tau-b| {number(found.random.expected, 2)} on average, the "
            f"best of {found.random.orders} random ones {number(found.random.largest, 2)}."
        )
    highest = max(known, key=lambda one: one.fixed["tau"].value)
    yield f"The highest tau-b as measured is that of {highest.metric}. {_costs(highest)}"


def _costs(one: MetricAgreement) -> str:
    regret = one.fixed["regret"]
    chosen = " = ".join(one.chosen)
    if regret.value == 0:
        loses = "is the best as measured"
    else:
        loses = f"is {number(regret.value, 3)} below the best as measured"
    return f"Its first teacher, {chosen}, {loses} {regret.interval(3)}."


def _against_baseline(found: Agreement) -> Iterable[str]:
    base = found.baseline
    others = [one for one in found.metrics if not math.isnan(one.difference.value)]
    if base is None or not others:
        return
    if found.different < FEWEST:
        yield (
            f"Whether a metric is better than {base} is not said: the teachers have "
            f"{found.different} different means, and {FEWEST} are the least."
        )
        return
    yield from _claims(base, [(one.metric, one.difference, one.claim) for one in others])


def _claims(base: str, found: Sequence[tuple[str, Estimate, str]]) -> Iterable[str]:
    better, worse = (
        [(name, difference) for name, difference, claim in found if claim == which]
        for which in ("better", "worse")
    )
    if better:
        yield f"Better than {base}, difference of tau-b: {_named(better)}."
    if worse:
        yield f"Worse than {base}, difference of tau-b: {_named(worse)}."
    level = [name for name, _, claim in found if claim == "none"]
    if level:
        yield f"Cannot be told apart from {base}: {', '.join(level)}."


def _carried(found: Agreement, ablation: Ablation | None) -> Iterable[str]:
    known = [one for one in found.metrics if not math.isnan(one.fixed["tau"].value)]
    if ablation is None or not known:
        return
    highest = max(known, key=lambda one: one.fixed["tau"].value)
    for name in dict.fromkeys([highest.metric, *([found.baseline] if found.baseline else [])]):
        one = ablation.largest(name)
        if one is not None:
            yield (
                f"Without {one.name}, the tau-b of {name} goes from "
                f"{number(ablation.tau[name], 2)} to {number(one.tau[name], 2)}, the largest "
                f"change in the pool: {one.change[name].in_words()}."
            )


def _gaining(found: Gains) -> Iterable[str]:
    how = "other seeds and items" if found.other_seeds else "other items of the same seeds"
    return _gained(found.gains, f" (chosen on {how})")


def _gained(gains: Sequence[Compared], chosen: str = "") -> Iterable[str]:
    over: dict[str, list[Compared]] = {}
    for one in gains:
        over.setdefault(one.over, []).append(one)
    for name, of in over.items():
        what = f"the best single teacher{chosen}" if name == BEST_TEACHER else f"the arm {name}"
        above = [(one.selection, one.gain) for one in of if one.gain.above]
        below = [(one.selection, one.gain) for one in of if one.gain.below]
        level = [one.selection for one in of if not one.gain.above and not one.gain.below]
        if above:
            yield f"Better than {what}: {_named(above, 3)}."
        if below:
            yield f"Worse than {what}: {_named(below, 3)}."
        if level:
            yield f"Cannot be told apart from {what}: {', '.join(level)}."


def pooled_verdict(found: Pooled, noise: Sequence[str] = ()) -> tuple[str, ...]:
    """What may be said of metrics and selections over all students and studies together.

    Args:
        noise: labels of the results in which the teachers cannot be told apart.
    """
    size = len(found.labels)
    above = [(one.metric, one.tau) for one in found.metrics if one.tau.above]
    below = [(one.metric, one.tau) for one in found.metrics if one.tau.below]
    others = [
        (one.metric, one.difference, one.claim)
        for one in found.metrics
        if not math.isnan(one.difference.value)
    ]
    said = []
    if found.metrics and noise:
        which = "this order counts" if len(noise) == 1 else "these orders count"
        said.append(
            f"In {len(noise)} of {plural(size, 'result')} the teachers cannot be told apart after "
            f"training ({'; '.join(noise)}): {which} here like the others."
        )
    if found.metrics:
        named = f"agree with the order after training, mean tau-b: {_named(above)}"
        first = named if above else "no metric's order can be told apart from a random one"
        said.append(f"Over {size} results, {first}.")
    if below:
        said.append(f"Put teachers in the opposite order, mean tau-b: {_named(below)}.")
    if found.baseline is not None:
        said += _claims(found.baseline, others)
    said += _cost(found)
    return (*said, *_gained(found.gains))


def _cost(found: Pooled) -> Iterable[str]:
    """What it costs to follow the metric with the least mean regret, and the baseline."""
    known = [one for one in found.metrics if not math.isnan(one.regret.value)]
    if not known:
        return
    least = min(known, key=lambda one: one.regret.value)
    wanted = dict.fromkeys([least.metric, *([found.baseline] if found.baseline else [])])
    costs = [
        f"{name} {one.regret.in_words(3)}, at worst {number(one.worst_regret, 3)}"
        for name in wanted
        for one in known
        if one.metric == name
    ]
    yield (
        "Lost by training on a metric's first teacher instead of the best as measured, on "
        f"average: {'; '.join(costs)}."
    )


def students_verdict(found: Students) -> tuple[str, ...]:
    """Whether the best teacher differs by student, and whether metrics follow."""
    size = len(found.labels)
    if found.common:
        first = (
            f"No difference beyond noise: {' or '.join(found.common)} may be best for all "
            f"{size} students."
        )
    else:
        sets = "; ".join(f"{label}: {' or '.join(of)}" for label, of in found.may_be_best.items())
        first = (
            "The best teacher differs by student: no teacher may be best for all of them "
            f"({found.level:.0%} together). May be best: {sets}."
        )
    right = [one.metric for one in found.metrics if one.right == size]
    second = "No metric puts a teacher first for every student that may be its best."
    if right:
        second = (
            f"For every student, a teacher that may be its best is put first by {', '.join(right)}."
        )
    follow = [(one.metric, one.change) for one in found.metrics if one.change.above]
    third = (
        "No metric's change of ranks from student to student can be told apart from a random one."
    )
    if follow:
        third = f"Follow the change of ranks from student to student, tau-b: {_named(follow)}."
    return (first, second, third)


def _named(found: Iterable[tuple[str, Estimate]], digits: int = 2) -> str:
    return ", ".join(f"{name} {one.in_words(digits)}" for name, one in found)
