"""Attention in two parts against one line of naive code, and the cache behind it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lnat_plugins.engine import attention
from lnat_plugins.engine.attention import (
    NAME,
    Segment,
    SharedCache,
    attend,
    attention_with_lse,
    formula,
    split_attention,
    takes_bounds,
)

SIZE = 8


def naive(query: Tensor, key: Tensor, value: Tensor, seen_QK: Tensor) -> Tensor:
    """softmax(q k / sqrt(d)) v where a query sees a key; heads share keys in order."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(-1, -2) / SIZE**0.5
    return scores.masked_fill(~seen_QK, -torch.inf).softmax(-1) @ value


def seen_of(past: int, lengths: list[int]) -> Tensor:
    """Who sees whom: all of the past, and the own run up to oneself."""
    own = torch.block_diag(*[torch.ones(n, n).tril() for n in lengths]).bool()
    return torch.cat([own.new_ones(sum(lengths), past), own], dim=1)


@pytest.mark.parametrize("past", [0, 1, 7])
@pytest.mark.parametrize("lengths", [[1], [5], [3, 3], [6, 1, 4], [1, 1, 1]])
@pytest.mark.parametrize(("heads", "shared"), [(4, 4), (4, 2), (4, 1)])
def test_a_row_of_runs(past: int, lengths: list[int], heads: int, shared: int) -> None:
    torch.manual_seed(0)
    width = sum(lengths)
    query = torch.randn(1, heads, width, SIZE)
    key, value = (torch.randn(1, shared, past + width, SIZE) for _ in range(2))
    cache = SharedCache()
    if past:
        cache.update(key[:, :, :past], value[:, :, :past], 0)
    config = SimpleNamespace(_attn_implementation="sdpa")
    with split_attention(config, [Segment(cache, lengths)], torch.device("cpu")):
        assert config._attn_implementation == NAME
        out, _ = attend(
            SimpleNamespace(layer_idx=0), query, key[:, :, past:], value[:, :, past:], None
        )
    assert config._attn_implementation == "sdpa"
    expected = naive(query, key, value, seen_of(past, lengths)).transpose(1, 2)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("parts", [[(3, [2, 4]), (1, [5])], [(7, [1]), (2, [3, 3]), (4, [1, 6])]])
@pytest.mark.parametrize(("heads", "shared"), [(4, 4), (4, 2), (4, 1)])
def test_a_row_of_segments(parts: list[tuple[int, list[int]]], heads: int, shared: int) -> None:
    """Each segment sees its own cache, as if it stood alone."""
    torch.manual_seed(0)
    expected, segments, rows = [], [], []
    for past, lengths in parts:
        width = sum(lengths)
        query = torch.randn(1, heads, width, SIZE)
        key, value = (torch.randn(1, shared, past + width, SIZE) for _ in range(2))
        cache = SharedCache()
        if past:
            cache.update(key[:, :, :past], value[:, :, :past], 0)
        segments.append(Segment(cache, lengths))
        rows.append((query, key[:, :, past:], value[:, :, past:]))
        expected.append(naive(query, key, value, seen_of(past, lengths)).transpose(1, 2))
    config = SimpleNamespace(_attn_implementation="sdpa")
    query, key, value = (torch.cat(each, dim=2) for each in zip(*rows, strict=True))
    with split_attention(config, segments, torch.device("cpu")):
        out, _ = attend(SimpleNamespace(layer_idx=0), query, key, value, None)
    torch.testing.assert_close(out, torch.cat(expected, dim=1), atol=1e-5, rtol=0)


def flash(whole_lse: bool) -> Any:
    """What flash attention's kernel for runs end to end gives on a GPU, by the formula.

    Queries (Q, H, D), keys and values (P, A, D), where each part begins in both; the log-sum-exps
    are (H, Q), in older versions of torch (parts, H, longest).
    """

    def run(
        query: Tensor, key: Tensor, value: Tensor, begins_q: Tensor, begins_k: Tensor,
        longest_q: int, longest_k: int, dropout: float, causal: bool, mask: bool, *,
        scale: float | None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        assert (dropout, mask, begins_q.dtype, begins_k.dtype) == (0, False, *[torch.int32] * 2)
        assert (longest_q, longest_k) == (int(begins_q.diff().max()), int(begins_k.diff().max()))
        assert len(query) == begins_q[-1] and len(key) == len(value) == begins_k[-1]
        groups = query.shape[1] // key.shape[1]
        outs, lses = [], []
        for (q0, q1), (k0, k1) in zip(
            *(zip(b[:-1].tolist(), b[1:].tolist(), strict=True) for b in (begins_q, begins_k)),
            strict=True,
        ):
            parts = [
                each.transpose(0, 1)[None]
                for each in (
                    query[q0:q1],
                    key[k0:k1].repeat_interleave(groups, 1),
                    value[k0:k1].repeat_interleave(groups, 1),
                )
            ]
            out, lse = formula(*parts, causal=causal, scale=scale)
            outs.append(out[0].transpose(0, 1))
            lses.append(lse[0])
        if whole_lse:
            return torch.cat(outs), torch.cat(lses, dim=-1), *[torch.empty(0)] * 3
        padded = [torch.nn.functional.pad(one, (0, longest_q - one.shape[-1])) for one in lses]
        return torch.cat(outs), torch.stack(padded), *[torch.empty(0)] * 3

    return run


@pytest.mark.parametrize("whole_lse", [True, False])
@pytest.mark.parametrize(
    "parts",
    [
        [(0, [3, 1, 4])], [(5, [3, 1, 4])], [(3, [2, 4]), (1, [5])],
        [(7, [1]), (2, [3, 3]), (4, [1, 6])], [(0, [2]), (0, [5])],
    ],
)  # fmt: skip
@pytest.mark.parametrize(("heads", "shared"), [(4, 4), (4, 2), (4, 1)])
def test_the_kernel_of_a_gpu_is_given_runs_end_to_end(
    parts: list[tuple[int, list[int]]], heads: int, shared: int, whole_lse: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    calls: list[str] = []
    kernel = flash(whole_lse)
    monkeypatch.setattr(attention, "takes_bounds", lambda *_: True)
    monkeypatch.setattr(
        torch.ops.aten, "_flash_attention_forward",
        lambda *given, **options: calls.append("") or kernel(*given, **options),
    )  # fmt: skip
    test_a_row_of_segments(parts, heads, shared)
    # One call for the own runs, one for several caches together; a single cache goes by itself.
    assert len(calls) == (2 if len(parts) > 1 and parts[0][0] else 1)


def test_which_queries_a_gpu_reads_end_to_end() -> None:
    def asked(size: int, dtype: Any, value_size: int = 0, device: str = "cuda") -> bool:
        query, value = (
            SimpleNamespace(device=SimpleNamespace(type=device), dtype=dtype, shape=(1, 2, 3, n))
            for n in (size, value_size or size)
        )
        return takes_bounds(query, value)  # type: ignore[arg-type]

    assert asked(64, torch.bfloat16) and asked(256, torch.float16) and asked(8, torch.bfloat16)
    assert not asked(264, torch.bfloat16) and not asked(12, torch.bfloat16)
    assert not asked(64, torch.float32) and not asked(64, torch.bfloat16, 32)
    assert not asked(64, torch.bfloat16, device="cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("scale", [None, 0.1])
def test_the_kernel_computes_the_formula(dtype: Any, causal: bool, scale: float | None) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 40, 16, dtype=dtype) for _ in range(3))
    found = attention_with_lse(query, key, value, causal=causal, scale=scale)
    expected = formula(query, key, value, causal=causal, scale=scale)
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.float(), other.float(), atol=tolerance, rtol=0)


def test_values_of_another_width_go_by_the_formula() -> None:
    query, key, value = torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 6)
    out, lse = attention_with_lse(query, key, value, causal=True, scale=None)
    assert (out.shape, lse.shape) == ((1, 2, 5, 6), (1, 2, 5))


@pytest.mark.parametrize("extra", ["softcap", "s_aux", "sliding_window", "position_bias"])
def test_what_is_not_computed_is_refused(extra: str) -> None:
    part = torch.randn(1, 2, 3, 4)
    with pytest.raises(NotImplementedError, match=extra):
        attend(None, part, part, part, None, **{extra: 4})


def test_an_error_leaves_the_model_as_it_was() -> None:
    config = SimpleNamespace(_attn_implementation="eager")
    device = torch.device("cpu")
    with (
        pytest.raises(RuntimeError, match="midway"),
        split_attention(config, [Segment(SharedCache(), [3])], device),
    ):
        raise RuntimeError("midway")
    assert config._attn_implementation == "eager"


# The cache: what it keeps, where, and how much of it is copied.


def part(n: int, seed: int = 0) -> Tensor:
    return torch.randn(1, 2, n, 4, generator=torch.Generator().manual_seed(seed))


def test_the_cache_keeps_only_while_keep_is_true() -> None:
    cache = SharedCache()
    assert cache.update(part(3), part(3), 0)[0].shape == (1, 2, 3, 4)
    cache.keep = False
    assert cache.update(part(3), part(3), 0)[0].shape == (1, 2, 3, 4)
    assert cache.get_seq_length() == 3
    cache.keep = True
    cache.update(part(3), part(3), 0)
    assert cache.get_seq_length() == 6


def test_reserved_room_holds_the_same_and_does_not_move() -> None:
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


def test_the_cache_grows_beyond_its_room() -> None:
    cache = SharedCache()
    cache.update(part(3), part(3), 0)
    cache.reserve(5)
    cache.update(part(4, 1), part(4, 1), 0)
    assert torch.equal(cache.layers[0].keys, torch.cat([part(3), part(4, 1)], -2))


def test_a_split_cache_is_one_for_each_part() -> None:
    whole = SharedCache()
    for layer in range(2):
        whole.update(part(6, layer), part(6, 9 + layer), layer)
    parts = whole.split([1, 3, 2])
    assert [one.get_seq_length() for one in parts] == [1, 3, 2]
    for layer in range(2):
        torch.testing.assert_close(parts[1].layers[layer].keys, part(6, layer)[:, :, 1:4])
        torch.testing.assert_close(parts[2].layers[layer].values, part(6, 9 + layer)[:, :, 4:])
    parts[0].update(part(2), part(2), 0)
    assert [parts[0].layers[0].keys.shape[-2], whole.get_seq_length()] == [3, 6]


def test_a_cropped_cache_is_filled_again() -> None:
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
