"""The packed pass: the prompt is read once, and many runs share one row behind it.

The prompt's keys and values stay in a cache. Runs are laid end to end in one row, in which each
token sees the cache and its own run (`attention`) and positions restart behind the prompt for each
run, so that every run is read as if alone. A run longer than the budget is read in pieces behind a
growing cache. Needs attention layers that use transformers' interface and see all earlier tokens.

Shapes: Q tokens of the row, N scored tokens, K = 1 + S numbers of each, V vocabulary, I inner size
of the feed-forward block.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnat_plugins.engine.attention import REPLACEABLE, SharedCache, split_attention
from lnat_plugins.engine.batched import length_dependent_rope, run_scores
from lnat_plugins.engine.planning import HeldPrompt
from lnat_plugins.engine.projection import Projector, UnitSums, measure
from lnat_plugins.engine.types import ACTIVATIONS, Counts, Ids, RunScores, TokenRun, is_special


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


class PackedPass:
    """Scores runs in packed rows of at most `budget` tokens behind one cached prompt."""

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
        self._held = HeldPrompt()
        self._cache = SharedCache()
        self._first_V: Tensor = torch.empty(0)
        self._prompt_sum_I: Tensor | None = None

    def plan(self, prompt: Ids, runs: Sequence[TokenRun], budget: int) -> Iterator[list[int]]:
        """Indices of the runs of each row, longest first, so that a row's runs are of a length.

        A run above the budget has a row of its own.
        """
        del prompt
        row: list[int] = []
        used = 0
        for index in sorted(range(len(runs)), key=lambda i: -len(runs[i].ids)):
            size = len(runs[index].read)
            if row and used + size > budget:
                yield row
                row, used = [], 0
            row.append(index)
            used += size
        if row:
            yield row

    def score(self, prompt: Ids, runs: Sequence[TokenRun], budget: int) -> list[RunScores]:
        """Scores one row of runs of equal `wanted`; a single run above the budget in pieces."""
        names, wants_sums = runs[0].names, ACTIVATIONS in runs[0].wanted
        try:
            self._read_prompt(prompt, budget, wants_sums, runs[0].special)
            with self._unit_sums.collected(len(runs) if wants_sums else 0) as sums:
                if len(runs) == 1 and len(runs[0].read) > budget:
                    later_KN = self._read_in_pieces(runs[0], budget).cpu()
                else:
                    later_KN = self._read_packed(runs).cpu()
            if extra := self._cache.get_seq_length() - len(prompt):
                self._cache.crop(-extra)  # a run read in pieces was added behind the prompt
        except BaseException:
            # Some layers may have added to the cache and others not.
            self._held = HeldPrompt()
            self._cache = SharedCache()
            raise
        values: list[Tensor] = []
        n_later = [int(run.scored[1:].sum()) for run in runs]
        for run, own_KN in zip(runs, torch.split(later_KN, n_later, -1), strict=True):
            if run.scored[0]:  # predicted by the prompt's last token, which is read only once
                first_1 = torch.from_numpy(run.ids[:1])
                values.append(measure(self._first_V[None], first_1, names))
            values.append(own_KN)
        self._counts.projected_tokens += sum(int(run.scored.sum()) for run in runs)
        return run_scores(runs, torch.cat(values, dim=-1), sums, self._prompt_sum_I)

    def _read_prompt(
        self, prompt: Ids, budget: int, wants_sum: bool, special: frozenset[int]
    ) -> None:
        """Fills the cache with the prompt, unless it holds it already."""
        if self._held.serves(prompt, wants_sum, special):
            return
        self._held, self._prompt_sum_I = HeldPrompt(), None
        self._cache = SharedCache()
        with self._unit_sums.collected(int(wants_sum)) as sums:
            for k, piece in enumerate(np.array_split(prompt, -(-len(prompt) // budget))):
                last_1 = torch.tensor([len(piece) - 1], device=self._device)
                with (
                    split_attention(self._config, self._cache, [len(piece)], self._device),
                    self._unit_sums.adding(np.where(is_special(piece, special), -1, 0)),
                ):
                    first_V = self._projector.log_softmax(self._continued(piece), last_1)
                self._first_V = first_V.cpu()
                self._counts.forwards += 1
                if k == 0:
                    self._cache.reserve(len(prompt))
        self._prompt_sum_I = sums[0] if wants_sum else None
        self._counts.prompt_tokens += len(prompt)
        self._held = HeldPrompt(prompt, wants_sum, special)

    def _read_packed(self, runs: Sequence[TokenRun]) -> Tensor:
        """Numbers of the scored tokens in order, without the first token of each run: (K, N)."""
        lengths = [len(run.read) for run in runs]
        read = [n for n in lengths if n]
        if not read:
            return torch.empty(1 + len(runs[0].names), 0)
        offsets_Q = np.concatenate([np.arange(n) for n in read])
        inputs = self._inputs(
            np.concatenate([run.read for run in runs]), self._cache.get_seq_length() + offsets_Q
        )
        self._cache.keep = False
        try:
            run_of_Q = np.repeat(np.arange(len(runs)), lengths)
            return self._predict(inputs, read, runs, run_of_Q, slice(None))
        finally:
            self._cache.keep = True

    def _read_in_pieces(self, run: TokenRun, budget: int) -> Tensor:
        """The same for one run, in pieces of at most `budget` tokens that stay in the cache."""
        self._cache.reserve(self._cache.get_seq_length() + len(run.read))
        parts = []
        for begin in range(0, len(run.read), budget):
            piece = run.read[begin : begin + budget]
            run_of_Q, part = np.zeros(len(piece), np.int64), slice(begin, begin + len(piece))
            inputs = self._continued(piece)
            parts.append(self._predict(inputs, [len(piece)], [run], run_of_Q, part))
        return torch.cat(parts, dim=-1)

    def _predict(
        self, inputs: dict[str, Any], lengths: Sequence[int], runs: Sequence[TokenRun],
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
            split_attention(self._config, self._cache, lengths, self._device),
            self._unit_sums.adding(np.where(left_out_Q, -1, run_of_Q)),
        ):
            return self._projector.measure(inputs, where_N, targets_N, runs[0].names)

    def _continued(self, ids_Q: Ids) -> dict[str, Any]:
        """Input that continues where the cache ends."""
        return self._inputs(ids_Q, self._cache.get_seq_length() + np.arange(len(ids_Q)))

    def _inputs(self, ids_Q: Ids, positions_Q: Ids) -> dict[str, Any]:
        # With a mask of four dimensions the model builds none of its own; `attend` ignores it. A
        # real one would have to be additive: eager adds a boolean mask as a number, which is
        # silently wrong by 0.05 to 0.35 nats a token.
        mask_1111 = torch.zeros(1, 1, 1, 1, dtype=self._dtype, device=self._device)
        return {
            "input_ids": torch.from_numpy(ids_Q).to(self._device)[None],
            "position_ids": torch.from_numpy(positions_Q).to(self._device)[None],
            "attention_mask": mask_1111,
            self._cache_keyword: self._cache,
            "use_cache": True,
        }
