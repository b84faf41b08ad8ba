"""The cache: what it keeps, where, and how much of it is copied."""

from __future__ import annotations

import numpy as np
import torch

from lnat_plugins.engine.attention import SharedCache
from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import TokenRun
from tests.engine.students import student


def part(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 2, n, 4, generator=torch.Generator().manual_seed(seed))


def test_it_keeps_what_it_is_told_to() -> None:
    cache = SharedCache()
    assert cache.update(part(3), part(3), 0)[0].shape == (1, 2, 3, 4)
    cache.keep = False
    assert cache.update(part(3), part(3), 0)[0].shape == (1, 2, 3, 4)
    assert cache.get_seq_length() == 3
    cache.keep = True
    cache.update(part(3), part(3), 0)
    assert cache.get_seq_length() == 6


def test_room_set_aside_holds_the_same_and_does_not_move() -> None:
    roomy, plain = SharedCache(), SharedCache()
    for cache in (roomy, plain):
        cache.update(part(3), part(3, 1), 0)
    roomy.reserve(10)
    place = roomy.layers[0].keys.data_ptr()
    for seed, n in [(2, 4), (3, 3)]:
        for cache in (roomy, plain):
            cache.update(part(n, seed), part(n, seed + 9), 0)
        assert roomy.layers[0].keys.data_ptr() == place
    assert torch.equal(roomy.layers[0].keys, plain.layers[0].keys)
    assert torch.equal(roomy.layers[0].values, plain.layers[0].values)


def test_beyond_the_room_it_grows_on() -> None:
    cache = SharedCache()
    cache.update(part(3), part(3), 0)
    cache.reserve(5)
    cache.update(part(4, 1), part(4, 1), 0)
    assert torch.equal(cache.layers[0].keys, torch.cat([part(3), part(4, 1)], -2))


def test_taking_back_and_adding_again() -> None:
    cache = SharedCache()
    cache.update(part(3), part(3), 0)
    cache.reserve(9)
    cache.update(part(4, 1), part(4, 1), 0)
    cache.crop(-4)
    cache.update(part(2, 5), part(2, 5), 0)
    assert torch.equal(cache.layers[0].keys, torch.cat([part(3), part(2, 5)], -2))


def test_more_room_is_made_once_for_a_longer_run() -> None:
    cache = SharedCache()
    cache.update(part(3), part(3), 0)
    cache.reserve(5)
    cache.reserve(20)
    place = cache.layers[0].keys.data_ptr()
    cache.reserve(8)
    assert cache.layers[0].keys.data_ptr() == place
    assert torch.equal(cache.layers[0].keys, part(3))


def test_runs_that_fit_leave_the_cache_alone() -> None:
    engine = Engine(student("qwen2"), token_budget=16, path="packed")
    ids = np.arange(3, 19)
    engine.score(np.array([5, 6]), [TokenRun(ids, np.ones(16, bool))])
    assert engine._packed is not None
    assert not engine._packed._cache._rooms or engine._packed._cache.get_seq_length() == 2
