"""Several metrics side by side: each as by itself, in pairs, and against a known order."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.metrics import Metric, UndefinedError, get_metric
from lnat_plugins.ranking import Comparison, Reference, compare, rank
from tests.helpers_samples import make_record
from tests.ranking import oracle
from tests.ranking.builders import LOWER, TOKENS_PER_STEP, Row, rank_rows, table

LN, GN = get_metric("local_naturalness"), get_metric("global_naturalness")
KNOWN = Reference("known.json", {"A": 4.0, "B": 3.0, "C": 3.0, "D": 1.0}, True)


def two_scores(seed: int = 0, holes: tuple[int, ...] = ()) -> list[Row]:
    """Four teachers on twelve prompts; no global score for teacher A on the prompts of `holes`."""
    draw = np.random.default_rng(seed)
    rows = []
    for p in range(12):
        for t, teacher in enumerate("ABCD"):
            local, whole = draw.normal(size=2) - 5 - 0.3 * t
            gone = teacher == "A" and p in holes
            record = make_record(
                teacher,
                {"4": [local], "global": [math.nan if gone else whole]},
                [int(draw.integers(1, 9))],
                undefined={"global": "too long"} if gone else {},
            )
            rows.append(Row(f"p{p}", teacher, record))
    return rows


def compare_rows(rows: list[Row], metrics: list[Metric], **more: object) -> Comparison:
    prompts = list(dict.fromkeys(each.prompt_id for each in rows))
    return compare(rows, prompts, metrics, "4", **{"bootstrap_iters": 60, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("iters", [199, 200])
@pytest.mark.parametrize("holes", [(), (1, 5), (1, 5, 6)])
def test_each_metric_is_as_in_its_own_ranking(holes: tuple[int, ...], iters: int) -> None:
    rows = two_scores(holes=holes)
    metrics = [LN, GN, LOWER, TOKENS_PER_STEP]
    found = compare_rows(rows, metrics, reference=KNOWN, seed=9, bootstrap_iters=iters)
    assert [one.metric for one in found.metrics] == [metric.name for metric in metrics]
    for one, metric in zip(found.metrics, metrics, strict=True):
        alone = rank_rows(rows, metric, bootstrap_iters=iters, seed=9, reference=KNOWN)
        assert one.order == tuple(line.teacher for line in alone.teachers)
        assert list(one.figures.values()) == pytest.approx([t.mean for t in alone.teachers])
        assert one.may_be_best == alone.verdict.may_be_best
        verdict = alone.prompts_used >= 10 and iters >= 200
        assert bool(one.may_be_best) is verdict
        for line in alone.teachers:
            known = line.teacher in one.may_be_best if verdict else None
            assert line.may_be_best is known
        assert one.prompts_used == alone.prompts_used
        assert one.fit == alone.reference
        assert (one.window, one.higher_is_better) == (alone.window, alone.higher_is_better)


def test_each_against_each_on_the_prompts_that_both_have() -> None:
    rows = two_scores(holes=(1, 5))
    found = compare_rows(rows, [LN, GN])
    assert found.shared_prompts == ((12, 10), (10, 10))
    keep = [row for row in rows if row.prompt_id not in ("p1", "p5")]
    values = {
        window: np.array([row.record.totals[window] / row.record.n_tokens for row in keep])
        for window in ("4", "global")
    }
    ours, theirs = (values[window].reshape(10, 4) for window in ("4", "global"))
    tau = stats.kendalltau(ours.mean(axis=0), theirs.mean(axis=0)).statistic
    assert found.tau == ((1.0, pytest.approx(tau)), (pytest.approx(tau), 1.0))
    same = (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()
    assert found.overlap == ((1.0, pytest.approx(same)), (pytest.approx(same), 1.0))


def test_the_direction_is_each_metrics_own() -> None:
    found = compare_rows(two_scores(), [LN, LOWER], reference=KNOWN)
    one, other = found.metrics
    assert (found.tau[0][1], found.overlap[0][1]) == (pytest.approx(1.0), 1.0)
    assert one.order == other.order
    assert one.fit == other.fit
    assert (other.tau_difference, other.tau_difference_low, other.tau_difference_high) == (0, 0, 0)


@pytest.mark.parametrize("holes", [(), (0, 7)])
def test_the_difference_in_tau_is_paired_by_prompt(holes: tuple[int, ...]) -> None:
    rows = two_scores(3, holes)
    found = compare_rows(rows, [LN, GN], reference=KNOWN, seed=2).metrics[1]
    keep = [row for row in rows if row.prompt_id not in {f"p{hole}" for hole in holes}]
    n_prompts = 12 - len(holes)
    known = [KNOWN.values[teacher] for teacher in "ABCD"]

    def taus(window: str, drawn: np.ndarray) -> np.ndarray:
        values = np.array([row.record.totals[window] / row.record.n_tokens for row in keep])
        means_BT = values.reshape(n_prompts, 4)[drawn].mean(axis=1)
        return np.array([stats.kendalltau(means, known).statistic for means in means_BT])

    whole = np.arange(n_prompts)[None]
    assert found.tau_difference == pytest.approx((taus("global", whole) - taus("4", whole))[0])
    drawn = np.random.default_rng(2).integers(0, n_prompts, size=(60, n_prompts))
    differences = np.round(taus("global", drawn) - taus("4", drawn), 9)  # ties are ties
    # The first metric's differences are all 0, and do not widen the others'.
    low, high = oracle.deepest_cut([differences])[0]
    assert (found.tau_difference_low, found.tau_difference_high) == pytest.approx((low, high))
    alone = [np.quantile(taus(window, drawn), oracle.TAILS) for window in ("4", "global")]
    assert high - low < sum(end - start for start, end in alone)


def test_differences_in_tau_hold_for_all_metrics_at_once() -> None:
    """With a third metric, each interval is as wide as before or wider, and they hold jointly."""
    rows = two_scores(3)
    by_length = replace(
        LN, name="longest", unit="tokens", reads="counts", compute=lambda r, w: float(r.n_tokens)
    )
    two, three = (
        compare_rows(rows, metrics, reference=KNOWN, seed=2, bootstrap_iters=400).metrics
        for metrics in ([LN, GN], [LN, GN, by_length])
    )
    assert (three[0].tau_difference_low, three[0].tau_difference_high) == (0.0, 0.0)
    assert three[1].tau_difference == two[1].tau_difference
    assert three[1].tau_difference_low <= two[1].tau_difference_low
    assert three[1].tau_difference_high >= two[1].tau_difference_high
    known = [KNOWN.values[teacher] for teacher in "ABCD"]
    values = {
        name: np.array([compute(row.record) for row in rows]).reshape(12, 4)
        for name, compute in (
            ("4", lambda record: record.totals["4"] / record.n_tokens),
            ("global", lambda record: record.totals["global"] / record.n_tokens),
            ("longest", lambda record: float(record.n_tokens)),
        )
    }
    drawn = np.random.default_rng(2).integers(0, 12, size=(400, 12))
    taus = {
        name: np.array(
            [stats.kendalltau(means, known).statistic for means in of[drawn].mean(axis=1)]
        )
        for name, of in values.items()
    }
    expected = oracle.deepest_cut(
        [np.round(taus[name] - taus["4"], 9) for name in ("global", "longest")]
    )
    found = [(one.tau_difference_low, one.tau_difference_high) for one in three[1:]]
    assert found == [pytest.approx(ends) for ends in expected]


def test_without_a_reference_there_is_no_difference() -> None:
    for one in compare_rows(two_scores(), [LN, GN]).metrics:
        assert one.fit is None
        ends = (one.tau_difference_low, one.tau_difference_high)
        assert all(map(math.isnan, (one.tau_difference, *ends)))


def test_what_cannot_be_compared_is_named_and_counts_nowhere() -> None:
    def refuse(rows: list[Row], window: str) -> list[float]:
        raise UndefinedError("fewer than 5 responses")

    small_pool = replace(LN, name="small_pool", scope="corpus", compute=refuse)
    needy = replace(LN, name="needy", needs=frozenset({"entropy"}))
    partly = replace(
        LN, name="partly", compute=lambda r, w: math.nan if r.teacher == "B" else r.totals[w]
    )
    metrics = [get_metric("n_tokens"), LN, small_pool, needy, partly, GN]
    found = compare_rows(two_scores(), metrics)
    assert [one.metric for one in found.metrics] == ["local_naturalness", "global_naturalness"]
    assert found.left_out == {
        "n_tokens": "it describes, and has no better or worse",
        "small_pool": "fewer than 5 responses (48)",
        "needy": "not gathered: score again with it among the metrics (`naturalness: metrics:` "
        "in a teacher set's YAML, `metrics=` of `score()`)",
        "partly": "no prompt has it for every teacher, least often B: no reason was recorded (12)",
    }
    assert len(found.tau) == len(found.overlap) == len(found.shared_prompts) == 2
    with pytest.raises(DataError, match=r"none of the metrics can be .*needy.*Score again with"):
        compare_rows(two_scores(), [needy])
    with pytest.raises(DataError, match=r"small_pool.*needy.*Score again with"):
        compare_rows(two_scores(), [small_pool, needy])
    with pytest.raises(DataError, match=r"small_pool.*Name other metrics, or another window"):
        compare_rows(two_scores(), [small_pool])


def test_two_metrics_without_a_common_prompt() -> None:
    late = replace(
        LN, name="late", compute=lambda r, w: math.nan if r.totals["global"] < 0 else r.totals[w]
    )
    rows = [
        Row(p, t, make_record(t, {"4": [-v], "global": [whole]}, [1], undefined=why))
        for p, whole, why in (("p0", -1.0, {}), ("p1", math.nan, {"global": "too long"}))
        for v, t in enumerate("ABCD")
    ]
    found = compare_rows(rows, [GN, late], reference=KNOWN)
    assert found.shared_prompts[0][1] == 0
    assert math.isnan(found.tau[0][1])
    assert math.isnan(found.metrics[1].tau_difference)
    assert math.isnan(found.metrics[1].tau_difference_low)
    assert found.metrics[1].prompts_used == 1
    assert found.as_dict()["metrics"][1]["tau_difference"] is None


def test_one_teacher_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="teacher 'A': one teacher only"):
        compare_rows(table({"A": [-1.0, -2.0]}), [LN, GN])


def test_settings_below_zero_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"seed is below 0"):
        compare_rows(two_scores(), [LN], seed=-1)


def test_the_seed_decides() -> None:
    one, again, other = (
        compare_rows(two_scores(), [LN, GN], seed=seed, reference=KNOWN) for seed in (1, 1, 2)
    )
    assert one.as_dict() == again.as_dict()
    assert one.as_dict() != other.as_dict()


def test_no_resample_gives_no_interval() -> None:
    found = compare_rows(two_scores(), [LN, GN], bootstrap_iters=0, reference=KNOWN).metrics[1]
    assert found.may_be_best == ()
    assert math.isnan(found.tau_difference_low)
    assert not math.isnan(found.tau_difference)


def test_ranking_takes_metrics_of_a_plugin() -> None:
    mine = replace(GN, compute=lambda record, window: -record.totals["4"])
    rows = two_scores()
    prompts = [f"p{i}" for i in range(12)]
    ranking = rank(rows, prompts, LN, "4", bootstrap_iters=5, metrics={GN.name: mine})
    assert ranking.agreement.tau != rank_rows(rows, bootstrap_iters=5).agreement.tau


def test_equal_figures_are_joined_as_a_reference_would_have_them() -> None:
    rows = table({"A": [-2.0, -2.0], "B": [-1.0, -1.0], "C": [-2.0, -2.0], "D": [-3.0, -3.0]})
    (one,) = compare(rows, ["p0", "p1"], [LN], "4", bootstrap_iters=10).metrics
    assert one.in_words() == "B > A = C > D"
    assert one.in_words(2) == "B > A"
    assert one.composition == {"A": 0.0, "B": 1.0, "C": 0.0, "D": 0.0}


def test_whom_metrics_put_first_without_controls() -> None:
    metrics = [get_metric(name) for name in ("local_naturalness", "global_naturalness", "random")]
    found = compare(table({"A": [-1.0] * 2, "B": [-2.0] * 2}), ["p0", "p1"], metrics, "4")
    said = "First by 2 metrics compared: A (local_naturalness, global_naturalness).\n"
    assert found.to_markdown(brief=True) == said
    assert "|random" in found.to_markdown()


def test_the_printed_tables() -> None:
    metrics = [LN, GN, LOWER]
    found = compare_rows(two_scores(1, (1,)), metrics, reference=KNOWN, bootstrap_iters=200)
    printed = Path(__file__).parents[1] / "data" / "printed" / "comparison.txt"
    assert found.to_markdown() == printed.read_text(encoding="utf-8")
