"""A known order, from a file or a line of text; every fault is one clear error.

The order against a known one: by hand, against scipy, and resampled in pairs.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.errors import ConfigError
from lnat_plugins.ranking import Reference, ReferenceFit, read_reference
from tests.ranking.builders import LOWER, rank_rows, row, table
from tests.ranking.oracle import TAILS

ABC = ("A", "B", "C")


def test_a_ranking_with_ties() -> None:
    found = read_reference(" A > C = B", ABC)
    assert found.values == {"A": 0, "B": -1, "C": -1}
    assert not found.numeric
    assert found.name == " A > C = B"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("known.json", '{"B": 0.5, "A": 1, "C": -2e-1}'),
        ("known.yaml", "B: 0.5\nA: 1\nC: -0.2\n"),
        ("no_suffix", "{A: 1, B: 0.5, C: -0.2}"),
    ],
)
def test_a_file_of_numbers(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_reference(tmp_path / name, ABC)
    assert found == Reference(name, {"A": 1.0, "B": 0.5, "C": -0.2}, True)
    assert read_reference(str(tmp_path / name), ABC) == found


def test_merged_mappings_are_no_teachers(tmp_path: Path) -> None:
    path = tmp_path / "known.yaml"
    path.write_text("{<<: {A: 1, B: 0.5}, <<: {C: -0.2}}\n", encoding="utf-8")
    assert read_reference(path, ABC).values == {"A": 1.0, "B": 0.5, "C": -0.2}


def test_teachers_that_are_left_out_may_have_a_rank() -> None:
    assert read_reference("A>D>B", ("A", "B"), known=["C", "D"]).values == {"A": 0, "B": -2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A>B", r"--reference A>B: the reference has no 'C'. Rank every teacher"),
        ("A>B>C>QwQ", "the reference names the unknown 'QwQ'. Known: A, B, C"),
        ("A>D", "has no 'B', 'C' and names the unknown 'D'"),
        ("A>B>C>A", "duplicate name 'A'"),
        ("A>>B>C", "empty name in the ranking"),
        ("A=", "empty name in the ranking"),
        ("scores.json", "neither a file nor a ranking .*scores.json.*Give a JSON or YAML file"),
        ("A" * 5000, "neither a file nor a ranking"),
        ("\0", "neither a file nor a ranking"),
    ],
)
def test_a_wrong_text_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_reference(text, ABC)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"A": 1, "B": "high", "C": 2}', "value of 'B' is not a number .found 'high'"),
        ('{"A": true, "B": 1, "C": 2}', "value of 'A' is not a number"),
        ('{"A": NaN, "B": 1, "C": 2}', "value of 'A' is not a number"),
        ("A: .inf\nB: 1\nC: 2\n", "value of 'A' is not a number"),
        ('{"A": 1, "B": 1, "A": 2}', "duplicate name 'A'"),
        ("A: 1\nB: 1\nA: 2\nC: 3\n", "known line 3: duplicate key 'A'"),
        ("{A: 1, B: 1, 'A': 2, C: 3}", "known line 1: duplicate key 'A'"),
        ("[1, 2]", "maps each teacher to a number"),
        ('{"A": 1' + "0" * 400 + ', "B": 1, "C": 2}', "value of 'A' is not a number"),
        ("A: 1\nB: : 2\n", "not valid YAML"),
        ("just text", "must be a mapping"),
        ('{"A": 1, "B": 2}', "has no 'C'"),
    ],
)
def test_a_wrong_file_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "known").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        read_reference(tmp_path / "known", ABC)
    assert "known" in str(caught.value)


def test_one_teacher_has_no_order() -> None:
    with pytest.raises(ConfigError, match="one teacher only: there is no order to hold against"):
        read_reference("A=A", ("A",))


SCORES = {"A": [-1.0, -1.2], "B": [-2.0, -2.2], "C": [-3.0, -3.0], "D": [-4.0, -3.9]}


def fit_of(reference: Reference, scores: dict[str, list[float]] = SCORES) -> ReferenceFit:
    found = rank_rows(table(scores), reference=reference).reference
    assert found is not None
    return found


def numbers(**values: float) -> Reference:
    return Reference("known.json", values, True)


def test_a_perfect_order() -> None:
    found = fit_of(numbers(A=0.9, B=0.8, C=0.7, D=0.1))
    assert (found.tau, found.tau_low, found.tau_high, found.spearman) == pytest.approx((1,) * 4)
    assert (found.pairwise_accuracy, found.pairs, found.ties_excluded) == (1.0, 6, 0)
    assert (found.regret, found.best, found.chosen) == (0.0, "A", "A")


def test_by_hand_with_ties_in_what_is_known() -> None:
    found = fit_of(numbers(A=0.5, B=0.9, C=0.5, D=0.2))
    assert (found.pairs, found.ties_excluded) == (5, 1)
    assert found.pairwise_accuracy == pytest.approx(4 / 5)
    assert found.tau == pytest.approx((4 - 1) / math.sqrt(6 * 5))
    assert found.regret == pytest.approx(0.4)
    assert (found.best, found.chosen) == ("B", "A")


def test_a_pair_on_which_the_metric_ties_counts_half() -> None:
    found = fit_of(numbers(A=1, B=2), {"A": [-1.0, -1.0], "B": [-1.0, -1.0]})
    assert found.pairwise_accuracy == 0.5
    assert math.isnan(found.tau)


def test_an_order_without_numbers_has_no_regret() -> None:
    found = fit_of(read_reference("D>C>B>A", list("ABCD")))
    assert math.isnan(found.regret)
    assert found.tau == pytest.approx(-1.0)
    assert (found.best, found.pairwise_accuracy) == ("D", 0.0)


def test_all_that_tie_for_the_known_best_are_named() -> None:
    found = fit_of(read_reference("B=A>C=D", list("ABCD")))
    assert (found.best, found.chosen) == ("A = B", "A")


def test_a_reference_that_is_one_tie_says_nothing() -> None:
    found = fit_of(read_reference("A=B=C=D", list("ABCD")))
    assert (found.pairs, found.ties_excluded) == (0, 6)
    assert all(map(math.isnan, (found.tau, found.tau_low, found.spearman)))
    assert math.isnan(found.pairwise_accuracy)


def test_the_direction_of_the_metric_counts() -> None:
    reference = numbers(A=0.9, B=0.8, C=0.7, D=0.1)
    lower = rank_rows(table(SCORES), LOWER, reference=reference).reference
    assert lower == fit_of(reference)


@pytest.mark.parametrize("seed", range(4))
def test_against_scipy_and_plain_loops(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values_PT = generator.integers(-20, 0, size=(9, 5)) / 8
    known = generator.integers(0, 4, size=5).astype(float)
    known[:2] = 5, 6
    rows = [
        row(f"p{p}", name, float(values_PT[p, t]))
        for p in range(9)
        for t, name in enumerate("ABCDE")
    ]
    reference = numbers(**dict(zip("ABCDE", map(float, known), strict=True)))
    found = rank_rows(rows, reference=reference, bootstrap_iters=80, seed=seed).reference
    assert found is not None
    means_T = np.round(values_PT.mean(axis=0), 9)
    assert found.tau == pytest.approx(stats.kendalltau(means_T, known).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(means_T, known).statistic)
    drawn = np.random.default_rng(seed).integers(0, 9, size=(80, 9))
    taus = [
        stats.kendalltau(np.round(values_PT[one].mean(axis=0), 9), known).statistic for one in drawn
    ]
    assert (found.tau_low, found.tau_high) == pytest.approx(
        tuple(np.nanquantile(taus, TAILS, method="inverted_cdf"))
    )


def test_without_a_resample_there_is_no_interval() -> None:
    found = rank_rows(
        table(SCORES), reference=numbers(A=4, B=3, C=2, D=1), bootstrap_iters=0
    ).reference
    assert found is not None
    assert found.tau == pytest.approx(1.0)
    assert math.isnan(found.tau_low)


def test_the_file_of_a_study(tmp_path: Path) -> None:
    """A student by the name or the folder that it has there; of two budgets the first."""
    students = [
        {"student": name, "model": f"/m/{name}", "budget": budget, "accuracy": accuracy}
        for name, budget, accuracy in (
            ("one", "9-rows", {"A": 0.5, "B": 0.25}),
            ("one", "all", {"A": 0.1, "B": 0.9}),
            ("two", "all", {"A": 0.2, "B": 0.3}),
        )
    ]
    path = tmp_path / "study.json"
    path.write_text(json.dumps({"study": "x", "reference": students}))
    assert read_reference(path, ("A", "B"), student="/m/one").values == {"A": 0.5, "B": 0.25}
    assert read_reference(path, ("A", "B"), student="/other/two").values["B"] == 0.3
    with pytest.raises(ConfigError, match="the study has no such student .*'three'"):
        read_reference(path, ("A", "B"), student="three")
    path.write_text(json.dumps({"study": "x", "reference": students[:2]}))
    assert read_reference(path, ("A", "B"), student="three").values["A"] == 0.5
