"""Attention of packed runs in two parts: the shared cache, and each run's own tokens.

A query attends to the cache without a mask and to its own run causally; the two results are
merged by their log-sum-exps, which is exactly the attention over both. So the cost of a token is
what lies before it, not the width of the packed row; no mask is built, and no run is copied behind
the cache. For one pass it replaces the model's own attention.

Shapes: R runs in the row, T tokens of the longest, Q tokens of the row; H heads, D width of a
head; A heads of keys and values (A divides H).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

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


def _grown(states: Tensor, length: int) -> Tensor:
    room = states.new_empty(*states.shape[:-2], length, states.shape[-1])
    room[..., : states.shape[-2], :] = states
    return room


class _Row:
    """The packed row of one pass: its cache, and how its tokens are sorted by run and back."""

    def __init__(self, cache: SharedCache, lengths: Sequence[int], device: torch.device) -> None:
        self.cache = cache
        self.past = cache.get_seq_length()
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
    config: Any, cache: SharedCache, lengths: Sequence[int], device: torch.device
) -> Iterator[None]:
    """Reads a packed row with the attention of this module.

    Args:
        config: the configuration that the attention layers look at; restored afterwards.
        cache: the keys and values that every run sees.
        lengths: tokens of each run in the row, at least one each.
        device: the model's.
    """
    before = config._attn_implementation
    token = _ROW.set(_Row(cache, lengths, device))
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
    _, heads, width, size = query.shape
    groups = heads // key.shape[1]
    keys, values = (row.by_run(each).repeat_interleave(groups, 1) for each in (key, value))
    own, own_lse = attention_with_lse(row.by_run(query), keys, values, causal=True, scale=scaling)
    out, lse = row.packed(own), row.packed(own_lse)
    if row.past:
        layer = row.cache.layers[module.layer_idx]
        # Queries that share a key are laid behind each other, so that no cached key is copied.
        shared = query.reshape(1, -1, groups * width, size)
        past, past_lse = attention_with_lse(
            shared, layer.keys[:, :, : row.past], layer.values[:, :, : row.past],
            causal=False, scale=scaling,
        )  # fmt: skip
        weight = torch.sigmoid(past_lse.reshape(1, heads, width) - lse).unsqueeze(-1)
        out = torch.lerp(out, past.reshape(1, heads, width, -1), weight.to(out.dtype))
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend)


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
    # Flash attention takes half precision and heads of at most 256 only.
    elif query.device.type == "cuda" and query.dtype in _HALF and query.shape[-1] <= 256:
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
