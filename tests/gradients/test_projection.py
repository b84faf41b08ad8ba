"""The projection is the matrix that it stands for, keeps lengths on average, and has a seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lnat_plugins.gradients import projection
from lnat_plugins.gradients.projection import KINDS, Projection

from .matrices import matrix

SEEDS = 300


def vector(size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("d", "size"), [(1, 7), (5, 130), (64, 40), (150, 33)])
def test_it_is_the_matrix(kind: projection.Kind, d: int, size: int) -> None:
    for seed in (0, 1, 2**40):
        found = Projection(kind, d, size, seed)([vector(size)])
        assert found.shape == (d,) and found.dtype == np.float64
        expected = matrix(kind, d, size, seed) @ vector(size).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_change_nothing(kind: projection.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = vector(100)
    expected = Projection(kind, 70, 100, 3)([whole])
    parts = [whole[:6].reshape(2, 3), whole[6:7], whole[7:]]
    monkeypatch.setattr(projection, "_AT_ONCE", 11)
    np.testing.assert_allclose(Projection(kind, 70, 100, 3)(parts), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_entries_of_the_papers_matrix(kind: projection.Kind) -> None:
    d, size = 6, 50
    unit = torch.eye(size, dtype=torch.float64)
    columns = np.array([Projection(kind, d, size, 0)([one]) for one in unit])
    if kind == "rademacher":
        np.testing.assert_allclose(np.abs(columns), 1 / np.sqrt(size))
    else:
        assert ((columns != 0).sum(axis=1) == 1).all()
    np.testing.assert_allclose((columns**2).sum(axis=1), d / size)  # as those of the paper's
    assert len({tuple(np.sign(one)) for one in columns}) > 2


@pytest.mark.parametrize("kind", KINDS)
def test_inner_products_have_the_stated_mean_and_variance(kind: projection.Kind) -> None:
    d, size = 8, 60
    a, b = vector(size, 1), vector(size, 2)
    found = []
    for seed in range(SEEDS):
        project = Projection(kind, d, size, seed)
        found.append(project([a]) @ project([b]))
    x, y = a.numpy(), b.numpy()
    mean = d / size * (x @ y)
    variance = d / size**2 * ((x @ x) * (y @ y) + (x @ y) ** 2 - 2 * (x**2 * y**2).sum())
    assert np.mean(found) == pytest.approx(mean, abs=4 * np.sqrt(variance / SEEDS))
    assert np.var(found) == pytest.approx(variance, rel=0.3)
    lengths = [(Projection(kind, d, size, seed)([a]) ** 2).sum() for seed in range(SEEDS)]
    spread = np.sqrt(2 * d) / size * (x @ x)
    assert np.mean(lengths) == pytest.approx(d / size * (x @ x), abs=4 * spread / np.sqrt(SEEDS))


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_one_map(kind: projection.Kind) -> None:
    def found(seed: int) -> list[float]:
        return Projection(kind, 4, 40, seed)([vector(40)]).tolist()

    assert found(5) == found(5)
    assert found(5) != found(6)


@pytest.mark.parametrize("parts", [[], [vector(39)], [vector(40), vector(1)]])
def test_another_length_is_refused(parts: list[torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="where 40 are projected"):
        Projection("sketch", 4, 40, 0)(parts)
