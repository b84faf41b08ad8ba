"""How far each metric predicted the order of the teachers after training.

Two intervals stand beside every figure. With the teachers as they are, prompts, seeds and items are
resampled: what another run with these teachers would give. With the teachers resampled too: what
other teachers of the same kind would give, by far the wider one, and the only one that claims rest
on. A resample that holds a teacher twice forms no pair of the two copies (`order_fit`); one whose
teachers all tie shows no agreement, tau 0.

The rule for a claim is fixed: a metric is better than the baseline only if the interval of its tau
minus the baseline's, with teachers resampled and simultaneous over metrics, lies above 0.

Noise in the measured order lowers tau, and resampling adds noise once more: where the measured
order is unreliable, tau and its interval lie too low (`reliability` gives the largest tau that can
be expected). Regret is too high there, because the best teacher's accuracy is the highest of many.
Simulated with 150 studies each, the interval for these 14 teachers held the true tau in .94 to .97,
and in .81 where the reliability is about .6; that over teachers in .99, and in .91 there.

Simulated with 200 studies each, three seeds, metrics that are equally good for teachers drawn at
random: with 6 to 16 teachers and 2 to 10 metrics .00 to .01 of the studies claim a difference, with
six of ten teachers at the floor .01 to .04 (nominal .05). By the intervals for these teachers up to
all would, rightly: the metrics do differ on these teachers. The price is power: of tau .13 against
.59, about .2 of the studies with 16 teachers claim it, and half of those with 24.

Shapes: M metrics, T teachers, P prompts, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

import numpy as np

from lnat_plugins.errors import DataError
from lnat_plugins.formatting import markdown_table, number, plain
from lnat_plugins.ranking.bootstrap import LEVEL, RESAMPLES, simultaneous_intervals
from lnat_plugins.ranking.orders import mean_known, ranks
from lnat_plugins.ranking.random_order import RandomOrder, random_order
from lnat_plugins.ranking.table import Bools, Floats, Ints
from lnat_plugins.study.order_fit import STATISTICS, fit
from lnat_plugins.study.outcomes import Outcomes
from lnat_plugins.study.resample import Estimate, arm_draws, counts, stream
from lnat_plugins.study.scores import MetricScores

BASELINE: Final = "global_naturalness"

FEWEST: Final = 6
"""Different means after training below which no metric is claimed to be better than another.
Teachers at the floor have one together; with few others the resamples cannot show how much rests on
one."""

_NOTHING_SEEN: Final = {"tau": 0.0, "spearman": 0.0, "pairs": 0.5}

Claim = Literal["better", "worse", "none"]
T = TypeVar("T")


@dataclass(frozen=True)
class MetricAgreement:
    """One metric against the order after training; statistics by the names in `STATISTICS`.

    Attributes:
        metric: its name.
        prompts: matched prompts that it rests on.
        scores: teacher -> its score, higher = better.
        chosen: the teachers that it puts first; several if they tie.
        fixed: statistic -> figure, interval with the teachers as they are.
        resampled: statistic -> figure, interval with the teachers resampled too.
        first_in: the share of resamples of prompts, seeds and items, the teachers as they are, in
            which its first teacher is the best; ties share.
        difference_fixed, difference: its tau minus the baseline's on the prompts matched for both,
            with the teachers as they are, and resampled. NaN for the baseline itself.
        claim: against the baseline, by the fixed rule.
    """

    metric: str
    prompts: int
    scores: Mapping[str, float]
    chosen: tuple[str, ...]
    fixed: Mapping[str, Estimate]
    resampled: Mapping[str, Estimate]
    first_in: float
    difference_fixed: Estimate
    difference: Estimate
    claim: Claim

    def estimate(self, of: str) -> Estimate:
        """The figure of that name, as among `Draws`."""
        named = {
            "tau_fixed": self.fixed["tau"], "tau": self.resampled["tau"],
            "difference_fixed": self.difference_fixed, "difference": self.difference,
            "regret": self.fixed["regret"],
        }  # fmt: skip
        return named[of]


@dataclass(frozen=True, eq=False)
class Draws:
    """The resamples behind an `Agreement`, for pooling.

    Attributes:
        scores: metric -> (B, T), on its own matched prompts.
        accuracy: (B, T).
        copies: (B, T) how often each teacher is drawn.
        tau_fixed, tau: metric -> (B,), with the teachers as they are, and resampled.
        difference_fixed, difference: metric -> (B,), the same of its tau minus the baseline's.
        regret: metric -> (B,), with the teachers as they are.
    """

    scores: Mapping[str, Floats]
    accuracy: Floats
    copies: Ints
    tau_fixed: Mapping[str, Floats]
    tau: Mapping[str, Floats]
    difference_fixed: Mapping[str, Floats]
    difference: Mapping[str, Floats]
    regret: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class Agreement:
    """All metrics of one student and family of tasks.

    Attributes:
        label: the student and family.
        teachers: T names.
        accuracy: teacher -> mean after training, of whichever metric the study measures.
        different: how many different means that is; `FEWEST` are needed for a claim.
        baseline: the metric that others are compared with; None if it is not there.
        metrics: in the order given.
        left_out: metric -> why it has no figure.
        random: what a random order reaches.
        iters, seed: of the resampling.
        draws: not among the JSON values.
    """

    label: str
    teachers: tuple[str, ...]
    accuracy: Mapping[str, float]
    different: int
    baseline: str | None
    metrics: tuple[MetricAgreement, ...]
    left_out: Mapping[str, str]
    random: RandomOrder
    iters: int
    seed: int
    draws: Draws = field(repr=False)

    def of(self, metric: str) -> MetricAgreement:
        """The metric of that name."""
        return next(one for one in self.metrics if one.metric == metric)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as null."""
        kept = {name: value for name, value in vars(self).items() if name != "draws"}
        return {name: plain(value) for name, value in kept.items()}

    def to_markdown(self) -> str:
        """A line a metric, highest tau first; the second interval is that over teachers too."""
        interval = f"{LEVEL:.0%}"
        headers = ["Metric", "tau-b", f"{interval}, these teachers", f"{interval}, other teachers"]
        headers += ["Spearman", "Pairs", "Regret", "First right", "First in", "Prompts"]
        if self.baseline is not None:
            headers += [f"tau-b − {self.baseline}", "Claim"]
        rows = []
        for one in in_falling_order(self.metrics, lambda each: each.fixed["tau"].value):
            value = {name: one.fixed[name].value for name in STATISTICS}
            rows.append([
                one.metric, number(value["tau"], 2),
                one.fixed["tau"].interval(), one.resampled["tau"].interval(),
                number(value["spearman"], 2), number(value["pairs"], 2),
                number(value["regret"], 3), number(value["first"], 2), number(one.first_in, 2),
                str(one.prompts),
            ])  # fmt: skip
            if self.baseline is not None:
                is_base = one.metric == self.baseline
                rows[-1] += ["", ""] if is_base else [one.difference.in_words(), one.claim]
        return markdown_table(headers, rows, left=1)


def agreement(
    outcomes: Outcomes,
    scores: MetricScores,
    *,
    baseline: str = BASELINE,
    iters: int = RESAMPLES,
    seed: int = 1234,
) -> Agreement:
    """Compare every metric's order of the teachers with the order after training.

    Args:
        outcomes: its arms of the kind teacher are compared; others play no part.
        scores: of all those teachers; further ones are left out.
        baseline: the metric that others are compared with.
        iters, seed: resamples, and the seed of all random numbers.

    Raises:
        DataError: fewer than two teachers, or one without scores.
    """
    teachers = outcomes.teachers
    if len(teachers) < 2:
        raise DataError(
            "fewer than two teachers were trained on, so that there is no order",
            found=", ".join(teachers), remedy="train students on further teachers",
        )  # fmt: skip
    scores, columns = scores.of(teachers), outcomes.columns(teachers)
    accuracy_T = outcomes.means[columns]
    different = len(np.unique(ranks(accuracy_T[None]).better))
    n_prompts = scores.values.shape[2]
    drawn = _Drawn(
        scores=scores,
        accuracy_1T=accuracy_T[None],
        accuracy_BT=arm_draws(outcomes, iters, seed)[:, columns],
        copies_BT=counts(stream(seed, "teachers", *teachers), len(teachers), iters),
        counts_BP=counts(
            stream(seed, "prompts", scores.prompt_set, str(n_prompts)), n_prompts, iters
        ),
    )
    left_out = {}
    kept: dict[str, _Fits] = {}
    for index, name in enumerate(scores.metrics):
        used_P = scores.matched[index]
        if not used_P.any():
            left_out[name] = "no prompt has it for every teacher"
        elif not np.isfinite(scores.means(index, used_P)).all():
            left_out[name] = "the denominators of a teacher add up to 0"
        else:
            kept[name] = drawn.fits(index, used_P)
    apart_M, *apart_B = _differences(drawn, kept, baseline)
    apart = [estimates(apart_M, draws) for draws in apart_B]
    fixed, resampled = (
        [
            dict(zip(STATISTICS, of_metric, strict=True))
            for of_metric in zip(
                *(
                    estimates(
                        [float(one.value[key][0]) for one in kept.values()],
                        [getattr(one, form)[key] for one in kept.values()],
                    )
                    for key in STATISTICS
                ),
                strict=True,
            )
        ]
        for form in ("fixed", "resampled")
    )
    metrics = tuple(
        MetricAgreement(
            metric=name,
            prompts=int(one.used_P.sum()),
            scores=dict(zip(teachers, one.scores_1T[0].tolist(), strict=True)),
            chosen=tuple(np.array(teachers)[ranks(one.scores_1T).better[0] == 0].tolist()),
            fixed=fixed[i],
            resampled=resampled[i],
            first_in=mean_known(one.fixed["first"]),
            difference_fixed=apart[0][i],
            difference=apart[1][i],
            claim=claim(apart[1][i], different),
        )
        for i, (name, one) in enumerate(kept.items())
    )
    return Agreement(
        label=outcomes.label,
        teachers=teachers,
        accuracy=dict(zip(teachers, accuracy_T.tolist(), strict=True)),
        different=different,
        baseline=baseline if baseline in kept else None,
        metrics=metrics,
        left_out=left_out,
        random=random_order(accuracy_T, len(kept), seed),
        iters=iters,
        seed=seed,
        draws=Draws(
            scores={name: one.scores_BT for name, one in kept.items()},
            accuracy=drawn.accuracy_BT,
            copies=drawn.copies_BT,
            tau_fixed={name: one.fixed["tau"] for name, one in kept.items()},
            tau={name: one.resampled["tau"] for name, one in kept.items()},
            difference_fixed=dict(zip(kept, apart_B[0], strict=True)),
            difference=dict(zip(kept, apart_B[1], strict=True)),
            regret={name: one.fixed["regret"] for name, one in kept.items()},
        ),
    )


@dataclass(frozen=True, eq=False)
class _Fits:
    """One metric on some prompts: its scores, and every statistic of them and of the resamples."""

    used_P: Bools
    scores_1T: Floats
    scores_BT: Floats
    value: Mapping[str, Floats]
    fixed: Mapping[str, Floats]
    resampled: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What all metrics have in common: the accuracies, and the resamples of everything."""

    scores: MetricScores
    accuracy_1T: Floats
    accuracy_BT: Floats
    copies_BT: Ints
    counts_BP: Ints

    def fits(self, metric: int, used_P: Bools) -> _Fits:
        one_1T = self.scores.means(metric, used_P)
        drawn_BT = self.scores.means(metric, used_P, self.counts_BP)
        value = fit(one_1T, self.accuracy_1T)
        resampled = fit(drawn_BT, self.accuracy_BT, self.copies_BT)
        # Left out, resamples without the one teacher that all rests on would hide that it does.
        for name, neutral in _NOTHING_SEEN.items():
            if not math.isnan(value[name][0]):
                resampled[name] = np.where(np.isnan(resampled[name]), neutral, resampled[name])
        fixed = fit(drawn_BT, self.accuracy_BT)
        return _Fits(used_P, one_1T, drawn_BT, value, fixed, resampled)


def _differences(
    drawn: _Drawn, kept: Mapping[str, _Fits], baseline: str
) -> tuple[list[float], list[Floats], list[Floats]]:
    """Each tau minus the baseline's; its resamples with the teachers as they are, and drawn too."""
    values = [math.nan] * len(kept)
    nothing = np.full(len(drawn.accuracy_BT), np.nan)
    fixed, resampled = [nothing] * len(kept), [nothing] * len(kept)
    for i, (name, own) in enumerate(kept.items()):
        if baseline not in kept or name == baseline:
            continue
        both_P = own.used_P & kept[baseline].used_P
        if not both_P.any():
            continue
        one, other = (
            kept[each]
            if (kept[each].used_P == both_P).all()
            else drawn.fits(drawn.scores.metrics.index(each), both_P)
            for each in (name, baseline)
        )
        values[i] = float(one.value["tau"][0] - other.value["tau"][0])
        fixed[i] = one.fixed["tau"] - other.fixed["tau"]
        resampled[i] = one.resampled["tau"] - other.resampled["tau"]
    return values, fixed, resampled


def estimates(values: Sequence[float], draws: Sequence[Floats]) -> list[Estimate]:
    """With intervals that hold for all metrics at once."""
    # Figures that differ by rounding alone are ties.
    spans = simultaneous_intervals([np.round(draws_B, 12) for draws_B in draws])
    return [Estimate(value, low, high) for value, (low, high) in zip(values, spans, strict=True)]


def claim(difference: Estimate, different: int) -> Claim:
    """The fixed rule: the interval excludes 0, and there are `FEWEST` different means."""
    if different < FEWEST:
        return "none"
    return "better" if difference.above else "worse" if difference.below else "none"


def in_falling_order(of: Iterable[T], value: Callable[[T], float]) -> list[T]:
    """The highest value first, NaN last."""
    return sorted(of, key=lambda one: math.inf if math.isnan(value(one)) else -value(one))
