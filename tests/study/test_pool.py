"""Several results together: mean tau, mean regret, and what selections gain on average."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.ranking.bootstrap import simultaneous_intervals
from lnat_plugins.study import Agreement, Outcomes, agreement, gains, pool
from lnat_plugins.study.gains import comparisons
from lnat_plugins.study.resample import arm_draws
from tests.study.builders import study


def two(iters: int = 50) -> tuple[list[Outcomes], list[Agreement]]:
    draw = np.random.default_rng(0)
    known, found = [], []
    for label in ("one", "two"):
        reached, measured = study(draw, teachers=7, metrics=3, correlation=0.6, items=60)
        known.append(replace(reached, label=label))
        found.append(agreement(known[-1], measured, iters=iters))
    return known, found


def test_what_students_have_in_common_is_drawn_alike() -> None:
    known, measured = study(np.random.default_rng(1), teachers=5, metrics=1, correlation=0.5)
    first, second = (
        agreement(replace(known, label=label), measured, iters=50).draws for label in ("a", "b")
    )
    name = measured.metrics[0]
    assert (first.copies == second.copies).all()
    assert (first.scores[name] == second.scores[name]).all()
    assert not (first.accuracy == second.accuracy).all()  # by their seeds
    one_seed = replace(known, values=known.values[:, :1])
    same, again = (
        agreement(replace(one_seed, label=label), measured, iters=50).draws for label in ("a", "b")
    )
    assert (same.accuracy == again.accuracy).all()  # by their items
    other = agreement(replace(one_seed, item_set="others"), measured, iters=50).draws
    assert not (same.accuracy == other.accuracy).all()


FORMS = ("tau_fixed", "tau", "difference_fixed", "difference", "regret")


def test_figures_are_the_means_of_the_objects() -> None:
    known, found = two()
    pooled = pool(known, found)
    assert [one.metric for one in pooled.metrics] == ["global_naturalness", "m1", "m2"]
    assert pooled.labels == ("one", "two")
    assert pooled.baseline == "global_naturalness"
    for form in FORMS:
        columns = [
            (getattr(found[0].draws, form)[one.metric] + getattr(found[1].draws, form)[one.metric])
            / 2
            for one in pooled.metrics
        ]
        spans = simultaneous_intervals([np.round(one, 12) for one in columns])
        for one, (low, high) in zip(pooled.metrics, spans, strict=True):
            at = getattr(one, form)
            assert (at.low, at.high) == pytest.approx((low, high), nan_ok=True)
    for one in pooled.metrics:
        of = [each.of(one.metric) for each in found]
        assert list(one.values.values()) == [each.fixed["tau"].value for each in of]
        mean = pytest.approx(np.mean([*one.values.values()]))
        assert one.tau_fixed.value == one.tau.value == mean
        regrets = [each.fixed["regret"].value for each in of]
        assert one.regret.value == pytest.approx(np.mean(regrets))
        assert one.worst_regret == max(regrets)
        assert one.first == pytest.approx(np.mean([each.fixed["first"].value for each in of]))


def test_a_metric_that_one_object_lacks_is_left_out() -> None:
    known, (first, second) = two()
    draws = {name: of for name, of in second.draws.tau.items() if name != "m1"}
    fewer = replace(second, metrics=second.metrics[::2], draws=replace(second.draws, tau=draws))
    for pooled in (pool(known, [first, fewer]), pool(known[::-1], [fewer, first])):
        assert [one.metric for one in pooled.metrics] == ["global_naturalness", "m2"]
        assert pooled.left_out == ("m1",)


@pytest.mark.parametrize(
    "change", [{"label": "one"}, {"seed": 7}, {"iters": 9}, {"baseline": "m1"}]
)
def test_what_cannot_be_pooled(change: dict[str, object]) -> None:
    known, (first, second) = two()
    with pytest.raises(DataError, match="labels of their own, with equal resamples"):
        pool(known, [first, replace(second, **change)])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="labels of their own"):
        pool([], [])


def with_selections(draw: np.random.Generator, label: str, raised: float) -> Outcomes:
    """Three teachers, random rows, and a selection that is better by so much; one item set."""
    true_A = np.array([0.2, 0.4, 0.6, 0.3, 0.3 + raised])
    values = (draw.random((5, 3, 200)) < true_A[:, None, None]).astype(np.float64)
    kinds = ("teacher",) * 3 + ("selection",) * 2
    names = ("A", "B", "C", "random", "local")
    return Outcomes(names, kinds, values, bounds=(0.0, 1.0), label=label)  # type: ignore[arg-type]


def test_selections_gain_the_mean_of_their_gains() -> None:
    draw = np.random.default_rng(3)
    known = [with_selections(draw, label, by) for label, by in (("one", 0.3), ("two", 0.1))]
    _, found = two()
    pooled = pool(known, found)
    alone = [gains(one, iters=50).gains for one in known]
    assert [(one.selection, one.over) for one in pooled.gains] == [
        (one.selection, one.over) for one in alone[0]
    ]
    for i, one in enumerate(pooled.gains):
        each = [own[i].gain.value for own in alone]
        assert list(one.values.values()) == pytest.approx(each)
        assert one.gain.value == pytest.approx(np.mean(each))
    drawn = []
    for one in known:
        compared = comparisons(one, seed=1234)
        drawn.append(arm_draws(compared.outcomes, 50, 1234) @ compared.weights.T)
    spans = simultaneous_intervals(list(np.mean(drawn, axis=0).T.round(12)))
    for one, (low, high) in zip(pooled.gains, spans, strict=True):
        assert (one.gain.low, one.gain.high) == pytest.approx((low, high))


def test_objects_without_selections_do_not_count_for_gains() -> None:
    known, found = two()
    assert pool(known, found).gains == ()
    chosen = with_selections(np.random.default_rng(3), "one", 0.3)
    pooled = pool([chosen, known[1]], found)
    assert {(one.selection, tuple(one.values)) for one in pooled.gains} == {
        ("random", ("one",)), ("local", ("one",)),
    }  # fmt: skip


def test_a_selection_that_one_object_lacks_is_not_averaged() -> None:
    draw = np.random.default_rng(3)
    first, second = (with_selections(draw, label, 0.3) for label in ("one", "two"))
    _, found = two()
    pooled = pool([first, second.only(["A", "B", "C", "random"])], found)
    assert {(one.selection, one.over) for one in pooled.gains} == {("random", "best teacher")}


def test_intervals_of_pooled_gains_hold_what_is_true() -> None:
    """Simulated: four results of 200 items in common, three seeds."""
    draw, held = np.random.default_rng(0), []
    _, (first, _) = two()
    agreements = [replace(first, label=label, iters=400) for label in "abcd"]
    for _ in range(60):
        known = [with_selections(draw, label, 0.1) for label in "abcd"]
        (gain,) = (
            one.gain for one in pool(known, agreements).gains
            if (one.selection, one.over) == ("local", "random")
        )  # fmt: skip
        held.append(gain.low <= 0.1 <= gain.high)
    assert np.mean(held) >= 0.9


def test_tables() -> None:
    known, found = two()
    text = pool(known, found).to_markdown()
    assert "tau-b − global_naturalness" in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 5
    chosen = [with_selections(np.random.default_rng(3), label, 0.3) for label in ("one", "two")]
    assert "over best teacher" in pool(chosen, found).to_markdown()
