"""The packed pass: prompts are read once, and many runs share one row behind them.

A prompt's keys and values stay in a cache. Runs are laid end to end in one row, in which each
token sees its prompt's cache and its own run (`attention`) and positions restart behind the prompt
for each run, so that every run is read as if alone. Short prompts and their runs share rows. A run
longer than the budget is read in pieces behind a growing cache. Needs attention layers that use
transformers' interface and see all earlier tokens.

Shapes: Q tokens of the row, N scored tokens, K = 1 + S numbers of each, V vocabulary, I inner size
of the feed-forward block.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnat_plugins.engine.attention import REPLACEABLE, Segment, SharedCache, split_attention
from lnat_plugins.engine.batched import length_dependent_rope, run_scores
from lnat_plugins.engine.planning import HeldPrompt, PlacedRun
from lnat_plugins.engine.projection import Projector, UnitSums, measure
from lnat_plugins.engine.types import (
    ACTIVATIONS,
    Counts,
    Ids,
    RunScores,
    TokenRun,
    is_special,
)


def unsupported(model: Any) -> str:
    """Why a model cannot take the packed pass, by its configuration and forward, or ""."""
    config = model.config.get_text_config(decoder=True)
    attention = getattr(config, "_attn_implementation", None)
    if attention not in REPLACEABLE:
        return f"attention {attention!r} cannot be replaced"
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    if layers != {"full_attention"}:
        return f"layers of type {', '.join(sorted(layers - {'full_attention'}))}"
    # Some configurations (Qwen2's) name a window without using it.
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return "sliding-window attention"
    if rope := length_dependent_rope(config):
        return f"rotary positions of type {rope}"
    # Alibi takes distances from the mask, not from position ids; a recurrent state carries over
    # from one run of a row to the next.
    if getattr(config, "alibi", False) or getattr(model, "_is_stateful", False):
        return "positions that a packed row cannot restart"
    if not cache_keyword(model):
        return "a forward that takes no cache"
    return ""


def cache_keyword(model: torch.nn.Module) -> str:
    """The name of the cache in the model's forward, "" if it has none.

    transformers 5.24 renamed `past_key_values` to `cache`; models of older versions and models
    with code of their own keep the old name. A wrapper (PEFT's, or a forward patched with
    `**kwargs`) names neither, so the first module inside that names one decides.
    """
    for module in model.modules():
        parameters = inspect.signature(module.forward).parameters
        for name in ("cache", "past_key_values"):
            if name in parameters:
                return name
    return ""


@dataclass(frozen=True)
class _Prompt(HeldPrompt):
    """A prompt that was read.

    Args:
        cache: its keys and values.
        next_V: log-probabilities of the token after it, shape (V,), on the CPU.
        sum_I: the sum of its unit activations, where it was taken.
    """

    cache: SharedCache = field(default_factory=SharedCache)
    next_V: Tensor = field(default_factory=lambda: torch.empty(0))
    sum_I: Tensor | None = None


class PackedPass:
    """Scores runs in packed rows of at most `budget` tokens behind cached prompts."""

    name = "packed"

    def __init__(
        self, model: Any, projector: Projector, counts: Counts, unit_sums: UnitSums
    ) -> None:
        self._device = next(model.parameters()).device
        self._dtype = model.dtype
        self._config = model.config.get_text_config(decoder=True)
        self._cache_keyword = cache_keyword(model)
        self._projector = projector
        self._counts = counts
        self._unit_sums = unit_sums
        self._held: dict[int, _Prompt] = {}

    def forget(self) -> None:
        """Drops the prompts that were read."""
        self._held = {}

    def plan(self, placed: Sequence[PlacedRun], budget: int) -> Iterator[list[int]]:
        """Indices of the runs of each row: prompt by prompt, and of each the longest runs first.

        So most rows hold runs of about one length behind one prompt. Where runs of several prompts
        share a row, these prompts, too, have at most `budget` tokens. A run above the budget has a
        row of its own.
        """
        row: list[int] = []
        used = of_prompts = 0
        for index in sorted(
            range(len(placed)), key=lambda i: (placed[i].read, -len(placed[i].run.ids))
        ):
            number, prompt, run = placed[index]
            more = 0 if row and placed[row[-1]].read == number else len(prompt)
            if row and max(used + len(run.read), of_prompts + more) > budget:
                yield row
                row, used, of_prompts, more = [], 0, 0, len(prompt)
            row.append(index)
            used += len(run.read)
            of_prompts += more
        if row:
            yield row

    def score(self, placed: Sequence[PlacedRun], budget: int) -> list[RunScores]:
        """Scores one row of runs of equal `wanted`; a single run above the budget in pieces.

        Runs of one prompt stand side by side.
        """
        runs = [one.run for one in placed]
        names, wants_sums = runs[0].names, ACTIVATIONS in runs[0].wanted
        try:
            self._read_prompts(placed, budget)
            with self._unit_sums.collected(len(runs) if wants_sums else 0) as sums:
                if len(runs) == 1 and len(runs[0].read) > budget:
                    later_KN = self._read_in_pieces(placed[0], budget).cpu()
                else:
                    later_KN = self._read_packed(placed).cpu()
        except BaseException:
            # Some layers may have added to a cache and others not.
            self.forget()
            raise
        prompts = [self._held[one.read] for one in placed]
        values: list[Tensor] = []
        n_later = [int(run.scored[1:].sum()) for run in runs]
        for prompt, run, own_KN in zip(
            prompts, runs, torch.split(later_KN, n_later, -1), strict=True
        ):
            if run.scored[0]:  # predicted by the prompt's last token, which is read only once
                first_1 = torch.from_numpy(run.ids[:1])
                values.append(measure(prompt.next_V[None], first_1, names))
            values.append(own_KN)
        self._counts.projected_tokens += sum(int(run.scored.sum()) for run in runs)
        sums_of_prompts = [one.sum_I for one in prompts if one.sum_I is not None]
        return run_scores(runs, torch.cat(values, dim=-1), sums, sums_of_prompts)

    def _read_prompts(self, placed: Sequence[PlacedRun], budget: int) -> None:
        """Reads the prompts of these runs that are not held, as many at once as fit."""
        missing = {
            number: prompt
            for number, prompt, run in placed
            if number not in self._held or not self._held[number].serves(run)
        }
        run = placed[0].run
        tokens = sum(map(len, missing.values())) + sum(len(one.ids) for one in self._held.values())
        if tokens > budget:  # no more is held than this row needs
            needed = {one.read for one in placed}
            self._held = {number: one for number, one in self._held.items() if number in needed}
        row: dict[int, Ids] = {}
        for number, prompt in missing.items():
            if row and sum(map(len, row.values())) + len(prompt) > budget:
                self._read_row_of_prompts(row, budget, run)
                row = {}
            row[number] = prompt
        if row:
            self._read_row_of_prompts(row, budget, run)

    def _read_row_of_prompts(self, prompts: Mapping[int, Ids], budget: int, run: TokenRun) -> None:
        """Holds these prompts; a single one above the budget is read in pieces.

        Args:
            run: what is wanted behind them.
        """
        wants_sums = ACTIVATIONS in run.wanted
        ids_Q = np.concatenate([*prompts.values()])
        lengths = [len(prompt) for prompt in prompts.values()]
        prompt_of_Q = np.repeat(np.arange(len(lengths)), lengths)
        prompt_of_Q[is_special(ids_Q, run.special)] = -1
        positions_Q = np.concatenate([np.arange(n) for n in lengths])
        ends_N = np.cumsum(lengths) - 1
        cache = SharedCache()
        n_pieces = -(-len(ids_Q) // budget) if len(lengths) == 1 else 1
        pieces = np.array_split(np.arange(len(ids_Q)), n_pieces)
        with self._unit_sums.collected(len(lengths) if wants_sums else 0) as sums:
            for k, piece_Q in enumerate(pieces):
                own = [len(piece_Q)] if n_pieces > 1 else lengths
                where_N = torch.from_numpy(ends_N if n_pieces == 1 else np.array([own[0] - 1]))
                with (
                    split_attention(self._config, [Segment(cache, own)], self._device),
                    self._unit_sums.adding(prompt_of_Q[piece_Q]),
                ):
                    next_NV = self._projector.log_softmax(
                        self._inputs(ids_Q[piece_Q], positions_Q[piece_Q], cache),
                        where_N.to(self._device),
                    )
                self._counts.forwards += 1
                if k == 0 and len(lengths) == 1:
                    cache.reserve(len(ids_Q))
        self._counts.prompt_tokens += len(ids_Q)
        caches = [cache] if len(lengths) == 1 else cache.split(lengths)
        parts = zip(prompts.items(), caches, next_NV.cpu(), strict=True)
        for k, ((number, prompt), own_cache, next_V) in enumerate(parts):
            self._held[number] = _Prompt(
                prompt, wants_sums, run.special, own_cache, next_V, sums[k] if wants_sums else None
            )

    def _read_packed(self, placed: Sequence[PlacedRun]) -> Tensor:
        """Numbers of the scored tokens in order, without the first token of each run: (K, N)."""
        read = [one for one in placed if len(one.run.read)]
        if not read:
            return torch.empty(1 + len(placed[0].run.names), 0)
        segments = [
            Segment(self._held[number].cache, [len(one.run.read) for one in own])
            for number, own in itertools.groupby(read, key=lambda one: one.read)
        ]
        positions = [len(one.prompt) + np.arange(len(one.run.read)) for one in read]
        nothing = SharedCache()
        nothing.keep = False
        inputs = self._inputs(
            np.concatenate([one.run.read for one in read]), np.concatenate(positions), nothing
        )
        runs = [one.run for one in placed]
        run_of_Q = np.repeat(np.arange(len(runs)), [len(run.read) for run in runs])
        return self._predict(inputs, segments, runs, run_of_Q, slice(None))

    def _read_in_pieces(self, placed: PlacedRun, budget: int) -> Tensor:
        """The same for one run, in pieces of at most `budget` tokens that stay in the cache."""
        _, prompt, run = placed
        cache = self._held[placed.read].cache
        cache.reserve(len(prompt) + len(run.read))
        parts = []
        for begin in range(0, len(run.read), budget):
            piece = run.read[begin : begin + budget]
            positions = len(prompt) + begin + np.arange(len(piece))
            inputs = self._inputs(piece, positions, cache)
            run_of_Q, part = np.zeros(len(piece), np.int64), slice(begin, begin + len(piece))
            segments = [Segment(cache, [len(piece)])]
            parts.append(self._predict(inputs, segments, [run], run_of_Q, part))
        cache.crop(len(prompt) - cache.get_seq_length())
        return torch.cat(parts, dim=-1)

    def _predict(
        self, inputs: dict[str, Any], segments: Sequence[Segment], runs: Sequence[TokenRun],
        run_of_Q: Ids, part: slice,
    ) -> Tensor:  # fmt: skip
        """Numbers of the scored tokens that this slice of the runs' tokens predicts: (K, N)."""
        # A run's last token, read for its activation alone, predicts nothing.
        targets = [np.append(run.ids[1:], 0)[: len(run.read)] for run in runs]
        scored = [np.append(run.scored[1:], False)[: len(run.read)] for run in runs]
        targets_Q, scored_Q = np.concatenate(targets)[part], np.concatenate(scored)[part]
        where_N = torch.from_numpy(np.flatnonzero(scored_Q)).to(self._device)
        targets_N = torch.from_numpy(targets_Q[scored_Q]).to(self._device)
        self._counts.forwards += 1
        self._counts.body_tokens += len(scored_Q)
        left_out_Q = np.concatenate([run.left_out for run in runs])[part]
        with (
            split_attention(self._config, segments, self._device),
            self._unit_sums.adding(np.where(left_out_Q, -1, run_of_Q)),
        ):
            return self._projector.measure(inputs, where_N, targets_N, runs[0].names)

    def _inputs(self, ids_Q: Ids, positions_Q: Ids, cache: SharedCache) -> dict[str, Any]:
        # With a mask of four dimensions the model builds none of its own; `attend` ignores it. A
        # real one would have to be additive: eager adds a boolean mask as a number, which is
        # silently wrong by 0.05 to 0.35 nats a token.
        mask_1111 = torch.zeros(1, 1, 1, 1, dtype=self._dtype, device=self._device)
        return {
            "input_ids": torch.from_numpy(ids_Q).to(self._device)[None],
            "position_ids": torch.from_numpy(positions_Q).to(self._device)[None],
            "attention_mask": mask_1111,
            self._cache_keyword: cache,
            "use_cache": True,
        }
