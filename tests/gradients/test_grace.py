"""GRACE and its neighbours against the equations, and what follows from the definition."""

from __future__ import annotations

import numpy as np
import pytest

from lnat_plugins.gradients.grace import folds_of, g_norm, g_vendi, grace, smoothed, weights

from . import oracle

NU = 1e-3


def drawn(n: int = 12, d: int = 5, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)) * random.uniform(0.5, 2, size=(n, 1)) + 0.3


FOLDS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 1])


def score(h: np.ndarray, folds: np.ndarray = FOLDS, nu: float = NU) -> float:
    return float(weights(folds) @ grace(h, folds, nu).norms_N)


@pytest.mark.parametrize(("n", "d"), [(12, 3), (12, 5), (12, 40)])
@pytest.mark.parametrize("nu", [1e-6, 1e-3, 1.0])
def test_it_is_the_papers_formula(n: int, d: int, nu: float) -> None:
    h = drawn(n, d)
    assert score(h, nu=nu) == pytest.approx(oracle.grace(h, FOLDS.tolist(), nu), rel=1e-9)


def test_both_forms_of_the_formula_agree_where_folds_are_equal() -> None:
    """1/C · Σ of traces, and 1/(nm) · Σ of all weighted norms."""
    h, folds = drawn(), np.arange(12) % 3
    norms = [
        h[i] @ oracle.inverse(h[folds != fold], NU) @ h[i] for i, fold in enumerate(folds)
    ]  # fmt: skip
    assert score(h, folds) == pytest.approx(np.mean(norms), rel=1e-9)


def test_bias_and_variance() -> None:
    h = drawn()
    mean = h.mean(axis=0)
    found = grace(h, FOLDS, NU)
    inverses = [oracle.inverse(h[fold != FOLDS], NU) for fold in range(3)]
    assert found.bias == pytest.approx(np.mean([mean @ one @ mean for one in inverses]))
    parts = []
    cross = []
    for fold, one in enumerate(inverses):
        centred = h[fold == FOLDS] - mean
        parts.append(np.mean([row @ one @ row for row in centred]))
        cross.append(2 * centred.mean(axis=0) @ one @ mean)
    assert found.variance == pytest.approx(np.mean(parts))
    assert found.variance + found.bias + np.mean(cross) == pytest.approx(score(h))


def test_the_scale_of_gradients_is_squared() -> None:
    """Directions are those of unit vectors, so a factor on all of h leaves Σ̂ alone."""
    h = drawn()
    assert score(3 * h) == pytest.approx(9 * score(h))
    assert g_norm(3 * h) == pytest.approx(9 * g_norm(h))
    assert g_vendi(3 * h) == pytest.approx(g_vendi(h))


def test_the_scale_of_other_folds_plays_no_part() -> None:
    h = drawn()
    larger = h.copy()
    larger[FOLDS == 1] *= 7
    before, after = grace(h, FOLDS, NU).norms_N, grace(larger, FOLDS, NU).norms_N
    np.testing.assert_allclose(after[FOLDS != 1], before[FOLDS != 1])
    np.testing.assert_allclose(after[FOLDS == 1], 49 * before[FOLDS == 1])


def test_order_and_rotation_change_nothing() -> None:
    h = drawn()
    order = np.random.default_rng(1).permutation(len(h))
    assert score(h[order], FOLDS[order]) == pytest.approx(score(h))
    names = np.array([7, 2, 5])[FOLDS]
    assert score(h, names) == pytest.approx(score(h))
    rotation, _ = np.linalg.qr(drawn(5, 5, seed=3))
    assert score(h @ rotation) == pytest.approx(score(h))
    assert g_vendi(h @ rotation) == pytest.approx(g_vendi(h))


def test_a_rare_direction_weighs_more() -> None:
    h = np.tile([1.0, 0.0], (12, 1))
    h[0] = [0.0, 1.0]
    folds = np.arange(12) % 2
    own = grace(h, folds, NU).norms_N
    assert own[0] == pytest.approx(1 / (0 + NU / 2))
    assert own[1] == pytest.approx(1 / (5 / 6 + NU / 2))


def test_the_smoothed_spectrum_has_trace_one_and_nu() -> None:
    assert np.trace(smoothed(drawn(), 0.25)) == pytest.approx(1.25)


@pytest.mark.parametrize("d", [3, 40])
def test_entropy_is_that_of_the_eigenvalues(d: int) -> None:
    h = drawn(d=d)
    values = np.linalg.eigvalsh(smoothed(h, 0.0))
    values = values[values > 1e-12]
    assert g_vendi(h) == pytest.approx(-(values * np.log(values)).sum())
    assert g_vendi(np.eye(4)) == pytest.approx(np.log(4))
    assert g_vendi(np.tile(h[:1], (4, 1))) == pytest.approx(0, abs=1e-9)


def test_folds_are_equal_up_to_one_prompt_and_seeded() -> None:
    found = folds_of(23, 5, 0)
    counts = np.bincount(found)
    assert len(counts) == 5 and counts.max() - counts.min() == 1
    assert folds_of(23, 5, 0).tolist() == found.tolist()
    assert folds_of(23, 5, 1).tolist() != found.tolist()
    assert sorted(folds_of(4, 4, 0)) == [0, 1, 2, 3]
    assert weights(found).sum() == pytest.approx(1)
