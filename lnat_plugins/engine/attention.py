"""Attention of packed runs in two parts: what lies in the cache, and each run's own tokens.

A query attends to the cache without a mask and to its own run causally; the two results are
merged by their log-sum-exps, which gives the attention over both exactly. So a token costs what
lies before it and not the width of the row it is packed into, no mask is built, and nothing is
copied behind the cache. It takes the place of the model's own attention for one pass at a time.

Keys and values of what was read, which the attention of packed runs looks at.

They lie in room set aside beforehand, so that a long run that is read in pieces copies nothing and
holds nothing twice.
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
"""Attentions that compute the same function, by the names transformers knows them by."""

_HALF: Final = (torch.float16, torch.bfloat16)


class _Pass:
    """What attention must know of the row that is being read."""

    def __init__(self, cache: SharedCache, lengths: Sequence[int], device: torch.device) -> None:
        self.cache = cache
        self.past = cache.get_seq_length()
        self.runs = len(lengths)
        self.longest = max(lengths)
        slots = torch.arange(self.longest)
        ends = torch.tensor(lengths).cumsum(0)
        tokens_RL = torch.stack(
            [end - n + slots.clamp(max=n - 1) for end, n in zip(ends, lengths, strict=True)]
        )
        self.token_S = tokens_RL.flatten().to(device)
        self.place_Q = torch.cat(
            [run * self.longest + slots[:n] for run, n in enumerate(lengths)]
        ).to(device)

    def by_run(self, packed_HQD: Tensor) -> Tensor:
        """(1, H, Q, D) to (runs, H, longest, D); behind shorter runs stands their last token again.

        So what fills a row up is its own run's: were that NaN, no other run would see it.
        """
        if self.runs == 1:
            return packed_HQD
        rows = packed_HQD[0].transpose(0, 1).index_select(0, self.token_S)
        return rows.view(self.runs, self.longest, *rows.shape[1:]).transpose(1, 2)

    def packed(self, by_run: Tensor) -> Tensor:
        """Back from (runs, H, longest, …) to (1, H, Q, …)."""
        if self.runs == 1:
            return by_run
        rows = by_run.transpose(1, 2).flatten(0, 1)
        return rows.index_select(0, self.place_Q).transpose(0, 1)[None]


_PASS: ContextVar[_Pass] = ContextVar("lnat_pass")


@contextmanager
def split_attention(
    config: Any, cache: SharedCache, lengths: Sequence[int], device: torch.device
) -> Iterator[None]:
    """Reads a row of runs of these lengths with the attention of this module.

    Args:
        config: the configuration that the attention layers look at; put back afterwards.
        cache: what all runs see.
        lengths: tokens of each run in the row, at least one each.
        device: the model's.
    """
    before = config._attn_implementation
    token = _PASS.set(_Pass(cache, lengths, device))
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _PASS.reset(token)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' interface of an attention; shapes (1, heads, Q, D), key and value of the row.

    Sinks, caps and biases are not computed here, so a model that brings them is refused.
    """
    for extra in ("softcap", "s_aux", "sliding_window", "position_bias"):
        if kwargs.get(extra) is not None:
            raise NotImplementedError(f"attention with {extra}")
    now = _PASS.get()
    _, heads, width, size = query.shape
    groups = heads // key.shape[1]
    keys, values = (now.by_run(each).repeat_interleave(groups, 1) for each in (key, value))
    own, own_lse = attention_with_lse(now.by_run(query), keys, values, causal=True, scale=scaling)
    out, lse = now.packed(own), now.packed(own_lse)
    if now.past:
        layer = now.cache.layers[module.layer_idx]
        # Queries that share a key stand behind each other, so that no key is copied for them.
        shared = query.reshape(1, -1, groups * width, size)
        past, past_lse = attention_with_lse(
            shared, layer.keys[:, :, : now.past], layer.values[:, :, : now.past],
            causal=False, scale=scaling,
        )  # fmt: skip
        weight = torch.sigmoid(past_lse.reshape(1, heads, width) - lse).unsqueeze(-1)
        out = torch.lerp(out, past.reshape(1, heads, width, -1), weight.to(out.dtype))
    return out.transpose(1, 2).contiguous(), None


def attention_with_lse(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float | None
) -> tuple[Tensor, Tensor]:
    """Attention and its log-sum-exp, shapes (B, H, Q, D) and (B, H, Q), by the device's kernel.

    The kernels are those of `scaled_dot_product_attention`, which keeps the second result to
    itself. Where there is none, the formula itself, in float32.
    """
    ops = torch.ops.aten
    if query.device.type == "cpu" and value.shape[-1] == query.shape[-1]:
        out, lse = ops._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, scale=scale
        )
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
    return out, lse[..., : query.shape[2]]


def formula(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float | None
) -> tuple[Tensor, Tensor]:
    """What the kernels compute."""
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = factor * query.float() @ key.float().transpose(-1, -2)
    if causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, -torch.inf)
    lse = scores.logsumexp(-1)
    out = (scores - lse.unsqueeze(-1)).exp() @ value.float()
    return out.to(value.dtype), lse


AttentionInterface.register(NAME, attend)


class SharedCache(DynamicCache):
    """A cache whose passes add to it only while `keep` is true.

    Attention gets a pass's own keys and values only; it finds the others here.
    """

    keep = True

    def __init__(self) -> None:
        super().__init__()
        self._rooms: dict[int, tuple[Tensor, Tensor]] = {}

    def reserve(self, length: int) -> None:
        """Sets room aside for this many tokens in all, those that are there included."""
        layer: Any
        for index, layer in enumerate(self.layers):
            used = layer.get_seq_length()
            rooms = self._rooms.get(index)
            if used and (rooms is None or rooms[0].shape[-2] < length):
                self._rooms[index] = (_moved(layer.keys, length), _moved(layer.values, length))
                layer.keys, layer.values = (room[..., :used, :] for room in self._rooms[index])

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Adds them if they are to be kept, and hands them on alone."""
        added = self.keep and self._add(key_states, value_states, layer_idx)
        if not added and (self.keep or layer_idx >= len(self.layers)):
            super().update(key_states, value_states, layer_idx, *args, **kwargs)
        return key_states, value_states

    def _add(self, key_states: Tensor, value_states: Tensor, index: int) -> bool:
        """Whether there was room for them."""
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


def _moved(states: Tensor, length: int) -> Tensor:
    room = states.new_empty(*states.shape[:-2], length, states.shape[-1])
    room[..., : states.shape[-2], :] = states
    return room
