"""Attention of packed runs in two parts: the shared cache, and each run's own tokens.

A query attends to its prompt's cache without a mask and to its own run causally; the two are
merged by their log-sum-exps, which is exactly the attention over both. So the cost of a token is
what lies before it, not the width of the packed row; no mask is built, and no run is copied behind
the cache. For one pass it replaces the model's own attention.

Shapes: R runs in the row, T tokens of the longest, Q tokens of the row; H heads, D width of a
head; A heads of keys and values (A divides H).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from transformers import AttentionInterface, DynamicCache

NAME: Final = "lnat_runs"
REPLACEABLE: Final = (
    "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention",
)  # fmt: skip
"""Attentions that compute the same function, by their names in transformers."""

_HALF: Final = (torch.float16, torch.bfloat16)


class SharedCache(DynamicCache):
    """Keys and values of what was read; a pass adds its own only while `keep` is true.

    Attention gets a pass's own keys and values only, and finds the others here. With `reserve`, a
    long run read in pieces copies nothing and holds nothing twice.
    """

    keep = True

    def __init__(self) -> None:
        super().__init__()
        self._rooms: dict[int, tuple[Tensor, Tensor]] = {}

    def reserve(self, length: int) -> None:
        """Makes room for `length` tokens in all, those already kept included."""
        layer: Any
        for index, layer in enumerate(self.layers):
            used = layer.get_seq_length()
            rooms = self._rooms.get(index)
            if used and (rooms is None or rooms[0].shape[-2] < length):
                self._rooms[index] = (_grown(layer.keys, length), _grown(layer.values, length))
                layer.keys, layer.values = (room[..., :used, :] for room in self._rooms[index])

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Adds keys and values if they are to be kept, and returns them alone."""
        if self.keep and not self._fill_room(key_states, value_states, layer_idx):
            super().update(key_states, value_states, layer_idx, *args, **kwargs)
        return key_states, value_states

    def _fill_room(self, key_states: Tensor, value_states: Tensor, index: int) -> bool:
        """Adds them in place; False if there is no room for them."""
        if index not in self._rooms:
            return False
        keys, values = self._rooms[index]
        layer: Any = self.layers[index]
        begin = layer.get_seq_length()
        end = begin + key_states.shape[-2]
        if end > keys.shape[-2]:
            return False
        keys[..., begin:end, :] = key_states
        values[..., begin:end, :] = value_states
        layer.keys, layer.values = keys[..., :end, :], values[..., :end, :]
        return True

    def split(self, lengths: Sequence[int]) -> list[SharedCache]:
        """Caches of its parts, from left to right; they share its memory."""
        bounds = [0, *itertools.accumulate(lengths)]
        parts = []
        for begin, end in itertools.pairwise(bounds):
            part = SharedCache()
            for index, layer in enumerate(self.layers):
                one: Any = layer
                own = (states[:, :, begin:end] for states in (one.keys, one.values))
                DynamicCache.update(part, *own, index)
            parts.append(part)
        return parts


def _grown(states: Tensor, length: int) -> Tensor:
    room = states.new_empty(*states.shape[:-2], length, states.shape[-1])
    room[..., : states.shape[-2], :] = states
    return room


class Segment(NamedTuple):
    """Runs that stand side by side in a row and see the same tokens before them.

    Args:
        cache: keys and values of these tokens.
        lengths: tokens of each run, at least one each.
    """

    cache: SharedCache
    lengths: Sequence[int]


class _Past(NamedTuple):
    """The cache that a part of the row sees: `tokens` of it, behind which queries stand."""

    cache: SharedCache
    tokens: int
    queries: slice

    def states(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, (1, A, tokens, D) each."""
        one: Any = self.cache.layers[layer]
        return one.keys[:, :, : self.tokens], one.values[:, :, : self.tokens]


class _Row:
    """The packed row of one pass: its caches, and how its tokens are sorted by run and back."""

    def __init__(self, segments: Sequence[Segment], device: torch.device) -> None:
        lengths = [length for segment in segments for length in segment.lengths]
        self.runs = len(lengths)
        self.longest = max(lengths)
        slots_T = torch.arange(self.longest)
        ends_R = torch.tensor(lengths).cumsum(0)
        # Shorter runs are filled up with their own last token: no run sees another's NaN.
        tokens_RT = torch.stack(
            [end - n + slots_T.clamp(max=n - 1) for end, n in zip(ends_R, lengths, strict=True)]
        )
        slots_Q = [run * self.longest + slots_T[:n] for run, n in enumerate(lengths)]
        self.tokens_RT = tokens_RT.flatten().to(device)
        self.slots_Q = torch.cat(slots_Q).to(device)
        self.bounds = bounds_of(lengths, device)
        self.pasts: list[_Past] = []
        begin = 0
        for cache, own in segments:
            end = begin + sum(own)
            if tokens := cache.get_seq_length():
                self.pasts.append(_Past(cache, tokens, slice(begin, end)))
            begin = end
        self.past_bounds = bounds_of([past.tokens for past in self.pasts], device)
        sizes = [past.queries.stop - past.queries.start for past in self.pasts]
        self.query_bounds = bounds_of(sizes, device)
        self.widest_past = max((past.tokens for past in self.pasts), default=0)
        self.widest_queries = max(sizes, default=0)

    def by_run(self, packed_1HQD: Tensor) -> Tensor:
        """(1, H, Q, D) to (R, H, T, D)."""
        if self.runs == 1:
            return packed_1HQD
        rows = packed_1HQD[0].transpose(0, 1).index_select(0, self.tokens_RT)
        return rows.view(self.runs, self.longest, *rows.shape[1:]).transpose(1, 2)

    def packed(self, by_run: Tensor) -> Tensor:
        """Back from (R, H, T, …) to (1, H, Q, …)."""
        if self.runs == 1:
            return by_run
        rows = by_run.transpose(1, 2).flatten(0, 1)
        return rows.index_select(0, self.slots_Q).transpose(0, 1)[None]


# The model calls `attend` deep inside its forward, so the row cannot be an argument.
_ROW: ContextVar[_Row] = ContextVar("lnat_row")


@contextmanager
def split_attention(
    config: Any, segments: Sequence[Segment], device: torch.device
) -> Iterator[None]:
    """Reads a packed row with the attention of this module.

    Args:
        config: the configuration that the attention layers look at; restored afterwards.
        segments: the row, from left to right; of several, all or none have tokens before them.
        device: the model's.
    """
    before = config._attn_implementation
    token = _ROW.set(_Row(segments, device))
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _ROW.reset(token)


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, **kwargs: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """transformers' attention interface: query (1, H, Q, D), key and value (1, A, Q, D).

    Returns:
        Shape (1, Q, H, D). The mask is ignored: what is seen follows from the row's runs.

    Raises:
        NotImplementedError: the model has sinks, caps, windows or biases, which are not computed.
    """
    for extra in ("softcap", "s_aux", "sliding_window", "position_bias"):
        if kwargs.get(extra) is not None:
            raise NotImplementedError(f"attention with {extra}")
    row = _ROW.get()
    if takes_bounds(query, value):
        out, lse = _own_by_bounds(row, query, key, value, scaling)
    else:
        out, lse = _own_by_run(row, query, key, value, scaling)
    if row.pasts:
        past, past_lse = _past(row, query, module.layer_idx, scaling)
        weight = torch.sigmoid(past_lse - lse).unsqueeze(-1)
        out = torch.lerp(out, past, weight.to(out.dtype))
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend)


def _own_by_run(
    row: _Row, query: Tensor, key: Tensor, value: Tensor, scale: float | None
) -> tuple[Tensor, Tensor]:
    """Attention of each token to its own run, each run in a row of its own."""
    groups = query.shape[1] // key.shape[1]
    keys, values = (row.by_run(each).repeat_interleave(groups, 1) for each in (key, value))
    out, lse = attention_with_lse(row.by_run(query), keys, values, causal=True, scale=scale)
    return row.packed(out), row.packed(lse)


def takes_bounds(query: Tensor, value: Tensor) -> bool:
    """Whether there is a kernel that reads runs end to end: flash attention's, on a GPU."""
    size = query.shape[-1]
    return _is_flash(query) and size % 8 == 0 and size == value.shape[-1]


def _own_by_bounds(
    row: _Row, query: Tensor, key: Tensor, value: Tensor, scale: float | None
) -> tuple[Tensor, Tensor]:
    """The same without padding and without a copy of any key."""
    out_QHD, lse, *_ = torch.ops.aten._flash_attention_forward(
        *(each[0].transpose(0, 1) for each in (query, key, value)),
        row.bounds, row.bounds, row.longest, row.longest, 0.0, True, False, scale=scale,
    )  # fmt: skip
    # (H, Q), in older versions of torch (R, H, T).
    return out_QHD.transpose(0, 1)[None], lse[None] if lse.ndim == 2 else row.packed(lse)


def _past(row: _Row, query: Tensor, layer: int, scale: float | None) -> tuple[Tensor, Tensor]:
    """Attention of each token to the tokens before its segment: (1, H, Q, D) and (1, H, Q)."""
    states = [past.states(layer) for past in row.pasts]
    if len(states) > 1 and takes_bounds(query, states[0][1]):
        return _past_by_bounds(row, query, states, scale)
    heads, size = query.shape[1], query.shape[-1]
    found = []
    for past, (keys, values) in zip(row.pasts, states, strict=True):
        own = query[:, :, past.queries]
        width = own.shape[2]
        # Queries that share a key are laid behind each other, so that no cached key is copied.
        shared = own.reshape(1, keys.shape[1], -1, size)
        out, lse = attention_with_lse(shared, keys, values, causal=False, scale=scale)
        found.append((out.reshape(1, heads, width, -1), lse.reshape(1, heads, width)))
    if len(found) == 1:
        return found[0]
    outs, lses = zip(*found, strict=True)
    return torch.cat(outs, dim=2), torch.cat(lses, dim=2)


def _past_by_bounds(
    row: _Row, query: Tensor, states: Sequence[tuple[Tensor, Tensor]], scale: float | None
) -> tuple[Tensor, Tensor]:
    """The same in one call for all segments."""
    keys, values = (
        torch.cat([one[0].transpose(0, 1) for one in each]) for each in zip(*states, strict=True)
    )
    out_QHD, lse, *_ = torch.ops.aten._flash_attention_forward(
        query[0].transpose(0, 1), keys, values, row.query_bounds, row.past_bounds,
        row.widest_queries, row.widest_past, 0.0, False, False, scale=scale,
    )  # fmt: skip
    if lse.ndim == 3:  # (segments, H, widest), in older versions of torch
        sizes = [past.queries.stop - past.queries.start for past in row.pasts]
        lse = torch.cat([one[:, :n] for one, n in zip(lse, sizes, strict=True)], dim=-1)
    return out_QHD.transpose(0, 1)[None], lse[None]


def bounds_of(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Where each of these begins and the last one ends, shape (N + 1,), as kernels take it."""
    return torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=device)


def attention_with_lse(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float | None
) -> tuple[Tensor, Tensor]:
    """Attention and its log-sum-exp, shapes (B, H, Q, D) and (B, H, Q), by the device's kernel.

    The kernels are those of `scaled_dot_product_attention`, which returns no log-sum-exp; where
    there is none, the formula in float32. `causal` needs as many keys as queries: kernels differ
    in the corner where the diagonal of another shape begins.
    """
    ops = torch.ops.aten
    if query.device.type == "cpu" and value.shape[-1] == query.shape[-1]:
        out, lse = ops._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, scale=scale
        )
    elif _is_flash(query):
        out, lse, *_ = ops._scaled_dot_product_flash_attention(
            query, key, value, 0.0, causal, False, scale=scale
        )
    elif query.device.type == "cuda":
        out, lse, *_ = ops._scaled_dot_product_efficient_attention(
            query, key, value, None, True, 0.0, causal, scale=scale
        )
    else:
        return formula(query, key, value, causal=causal, scale=scale)
    # The memory-efficient kernel pads the log-sum-exps of a head to a multiple of 32.
    return out, lse[..., : query.shape[2]]


def _is_flash(query: Tensor) -> bool:
    """Flash attention takes half precision and heads of at most 256 only."""
    return query.device.type == "cuda" and query.dtype in _HALF and query.shape[-1] <= 256


def formula(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float | None
) -> tuple[Tensor, Tensor]:
    """The function that the kernels compute, in float32."""
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = factor * query.float() @ key.float().transpose(-1, -2)
    if causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, -torch.inf)
    lse = scores.logsumexp(-1)
    out = (scores - lse.unsqueeze(-1)).exp() @ value.float()
    return out.to(value.dtype), lse
