"""Whether the order of the teachers depends on how steps are cut, weighed and seen.

Local naturalness makes choices: what is a step, that all steps weigh the same, how many steps a
step sees. A teacher that leads only under one of them leads by that choice. Most other choices
come out of the same records; a finer cut and a window that grows need another reading
(`sensitivity: full`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from lnat_plugins.formatting import plural
from lnat_plugins.metrics import Metric, Scored
from lnat_plugins.metrics.base import mean
from lnat_plugins.metrics.naturalness import LOCAL_NATURALNESS, local_naturalness
from lnat_plugins.metrics.steps import Steps, together
from lnat_plugins.ranking.orders import ranks, tau_b
from lnat_plugins.ranking.table import TIE, Floats, ScoreTable, score_table
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.ways import ways_on_sample
from lnat_plugins.steps.windows import parse_window

SHORT: Final = 4
"""Tokens below which a step counts as short."""

LOWEST: Final = 0.05
"""Share of a response's steps that is left out at the low end, rounded to whole steps."""

FULL: Final = "score with `sensitivity: full`, which reads 20 prompts in these ways"


@dataclass(frozen=True)
class Variant:
    """The order when the score is taken in another way.

    Attributes:
        name: the way, in words.
        order: teachers, best first, on the prompts that have both scores for every teacher.
        usual: the order of the ranking's own score on the same prompts.
        same_first: whether both have the same first teacher.
        tau: Kendall's tau-b of the two orders.
        prompts: how many prompts these are.
        partial: whether they are fewer than the ranking rests on.
        usual_first: whether the usual score puts the ranking's first teacher first on them too; if
            not, the way says nothing of that teacher's lead.
    """

    name: str
    order: tuple[str, ...]
    usual: tuple[str, ...]
    same_first: bool
    tau: float
    prompts: int
    partial: bool = False
    usual_first: bool = True

    @property
    def where(self) -> str:
        """The name, with the number of prompts if they are a part, and who leads there anyway."""
        if not self.partial:
            return self.name
        leads = "" if self.usual_first else f" that {self.usual[0]} leads by the usual score"
        return f"{self.name} (on {plural(self.prompts, 'prompt')}{leads})"

    @property
    def same_order(self) -> bool:
        """Whether no two teachers change places."""
        return self.order == self.usual


@dataclass(frozen=True)
class Sensitivity:
    """Every variant that could be taken, and why the others could not.

    Attributes:
        variants: in the order of `_ways`.
        not_done: name -> what it needs.
        without_effect: names of those that change no number of these responses.
    """

    variants: tuple[Variant, ...] = ()
    not_done: Mapping[str, str] = field(default_factory=dict)
    without_effect: tuple[str, ...] = ()

    @property
    def changing(self) -> tuple[Variant, ...]:
        """Those with another first teacher."""
        return tuple(one for one in self.variants if not one.same_first)

    def in_words(self) -> tuple[str, ...]:
        """In which ways another teacher is first, in one sentence; none without another way."""
        if not self.variants and self.without_effect:
            return ("Sensitivity: no other way of scoring changes a number of these responses.",)
        if not self.variants:
            return ("Sensitivity: no other way of scoring was possible.",) * bool(self.not_done)
        if not self.changing:
            n_ways = len(self.variants)
            apart = Counter(
                (one.prompts, one.usual[0]) for one in self.variants if not one.usual_first
            )
            parts = [
                f"{count} of them on {plural(prompts, 'prompt')} that {teacher} leads by the usual "
                "score"
                for (prompts, teacher), count in apart.items()
            ]
            of_them = f" ({', '.join(parts)})" if parts else ""
            return (
                f"Sensitivity: no change of leader in {n_ways} of {plural(n_ways, 'other way')} of "
                f"scoring{of_them}.",
            )
        changes: dict[str, list[str]] = {}
        for one in self.changing:
            change = f"{one.order[0]} instead of {one.usual[0]}"
            changes.setdefault(change, []).append(one.where)
        named = "; ".join(f"{change} {', '.join(where)}" for change, where in changes.items())
        return (f"Sensitivity, who leads in which other way of scoring: {named}.",)


def sensitivity(
    table: ScoreTable, rows: Sequence[Scored], prompts: Sequence[str], window: str
) -> Sensitivity:
    """Of a ranking by local naturalness; empty for any other metric, and for one teacher.

    Args:
        table: the ranking's own scores of `rows`.
        rows, prompts, window: as for `rank`.
    """
    if table.metric.name != LOCAL_NATURALNESS.name or len(table.teachers) < 2:
        return Sensitivity()
    found = []
    scores_T = table.teacher_scores(table.matched)
    leader = table.teachers[int(np.argmax(scores_T))]
    not_done = {}
    without_effect = []
    for name, compute, needs in _ways([row.record for row in rows], window):
        if compute is None:
            not_done[name] = needs
            continue
        if isinstance(compute, str):
            other = score_table(rows, prompts, table.teachers, table.metric, compute)
        else:
            own = _metric(compute)
            other = score_table(rows, prompts, table.teachers, own, window, keep=False)
        both_P = table.matched & other.matched
        if not both_P.any():
            not_done[name] = needs
            continue
        if np.allclose(table.scores[both_P], other.scores[both_P], rtol=TIE, atol=TIE):
            without_effect.append(name)
            continue
        scores_2T = np.stack([one.teacher_scores(both_P) for one in (table, other)])
        usual, order = (
            tuple(table.teachers[column] for column in np.argsort(-scores_T, kind="stable"))
            for scores_T in scores_2T
        )
        better_2T = ranks(scores_2T).better
        tau = float(tau_b(better_2T[:1], better_2T[1:])[0])
        n_prompts, partial = int(both_P.sum()), bool((table.matched & ~both_P).any())
        same_first = order[0] == usual[0]
        found.append(
            Variant(name, order, usual, same_first, tau, n_prompts, partial, usual[0] == leader)
        )
    return Sensitivity(tuple(found), not_done, tuple(without_effect))


_Compute = Callable[[StepSums, str], float]


def _metric(compute: _Compute) -> Metric:
    return Metric(
        name="variant", higher_is_better=True, scope="response", unit=LOCAL_NATURALNESS.unit,
        source="ours", aggregate="mean", compute=compute, reads="window", of_prefix=True,
    )  # fmt: skip


def _ways(
    records: Sequence[StepSums], window: str
) -> Iterator[tuple[str, _Compute | str | None, str]]:
    """Name, score and what it needs, of each way to take the score; a window, if it is that.

    None where no response was scored in that way.
    """
    every = f"it needs a step of {SHORT} tokens in every response"
    yield f"without steps under {SHORT} tokens", _without_short_steps, every
    yield f"without each trace's lowest {LOWEST:.0%} of steps", _without_lowest_steps, ""
    yield "with every token weighing the same", _by_tokens, ""
    yield "without first and last step", _without_ends, "it needs responses of three steps or more"
    if any(record.tag_tokens for record in records):
        yield (
            "with tags scored",
            _with_tags,
            "it needs responses of one turn, and a back end that gives log-probabilities of tokens",
        )
    for other in dict.fromkeys(name for record in records for name in record.sums):
        if other != window:
            name = "under the whole context" if other == "global" else f"at window {other}"
            why = next((one.undefined[other] for one in records if other in one.undefined), "")
            needs = "it needs a back end that gives the score step by step"
            yield name, other, why or needs
    recorded = dict.fromkeys(name for record in records for name in record.variants)
    for name in recorded:
        yield f"with {name}", _recorded(name), FULL
    for name in () if recorded else _ways_on_sample(records[0]):
        yield f"with {name}", None, FULL


def _ways_on_sample(record: StepSums) -> tuple[str, ...]:
    # Older records say nothing of markers: every token was scored.
    markers = record.settings.get("markers", "keep")
    return ways_on_sample(record.splitter, markers, parse_window(next(iter(record.sums))))


def _kept(record: StepSums, window: str, keep: Callable[[int], bool]) -> float:
    means = record.step_means(window) or []
    return mean([value for step, value in enumerate(means) if keep(step)])


@together(lambda steps, window: steps.mean(steps.means(window), steps.tokens >= SHORT))
def _without_short_steps(record: StepSums, window: str) -> float:
    return _kept(record, window, lambda step: record.tokens[step] >= SHORT)


def _lowest_together(steps: Steps, window: str) -> Floats:
    means_S, own_S = steps.means(window), steps.index
    sorted_S = means_S[np.lexsort((means_S, own_S))]
    left_out_R = np.floor(LOWEST * steps.n_steps + 0.5)
    return steps.mean(sorted_S, steps.place >= left_out_R[own_S])


@together(_lowest_together)
def _without_lowest_steps(record: StepSums, window: str) -> float:
    means = record.step_means(window) or []
    if any(map(math.isnan, means)):
        return math.nan
    return mean(sorted(means)[math.floor(LOWEST * len(means) + 0.5) :])


@together(lambda steps, window: steps.totals(window) / steps.n_tokens)
def _by_tokens(record: StepSums, window: str) -> float:
    return record.totals.get(window, math.nan) / record.n_tokens


def _ends_together(steps: Steps, window: str) -> Floats:
    place_S = steps.place
    inner_S = (place_S > 0) & (place_S < (steps.n_steps - 1)[steps.index])
    return steps.mean(steps.means(window), inner_S)


@together(_ends_together)
def _without_ends(record: StepSums, window: str) -> float:
    return _kept(record, window, lambda step: 0 < step < record.n_steps - 1)


def _with_tags(record: StepSums, window: str) -> float:
    if not record.tag_tokens:
        return local_naturalness(record, window)
    sums, tags = record.sums.get(window), record.tag_sums.get(window)
    if sums is None or tags is None:
        return math.nan
    counts = zip(sums, tags, record.tokens, record.tag_tokens, strict=True)
    return mean([(own + tag) / (n + n_tags) for own, tag, n, n_tags in counts])


def _recorded(name: str) -> _Compute:
    return lambda record, _: record.variants.get(name, math.nan)
