"""The fast path: the prompt is read once, and many runs share one row behind it.

The prompt's keys and values stay in a cache. Runs are laid end to end in one row; a
block-diagonal causal mask lets each token see the prompt and its own run, and positions
restart behind the prompt for each run, so that every run is read as if it stood alone.
A run longer than the budget is read in pieces behind a growing cache. Needs an attention
that takes a four-dimensional mask and gives it its meaning, in every layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from lnat_plugins.engine._batched import scatter
from lnat_plugins.engine._projection import Projector
from lnat_plugins.engine._rope import length_dependent_rope
from lnat_plugins.engine.types import Counts, Ids, LogProbs, TokenRun


def unsuited(model: Any) -> str:
    """Why a model cannot take the packed pass, by what its configuration says, or ""."""
    config = model.config.get_text_config(decoder=True)
    attention = getattr(config, "_attn_implementation", None)
    if attention not in ("sdpa", "eager"):
        return f"attention {attention!r} takes no four-dimensional mask"
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    if layers != {"full_attention"}:
        return f"layers of type {', '.join(sorted(layers - {'full_attention'}))}"
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return "sliding-window attention"
    if rope := length_dependent_rope(config):
        return f"rotary positions of type {rope}"
    if getattr(config, "alibi", False) or getattr(model, "_is_stateful", False):
        return "positions that a packed row cannot restart"
    return ""


class PackedPass:
    """Scores runs in packed rows of at most `budget` tokens behind one cached prompt."""

    name = "packed"

    def __init__(self, model: Any, projector: Projector, counts: Counts) -> None:
        self._device = next(model.parameters()).device
        self._dtype = model.dtype
        self._projector = projector
        self._counts = counts
        self._prompt: Ids | None = None
        self._cache = DynamicCache()
        self._first_V: Tensor = torch.empty(0)

    def plan(self, prompt: Ids, runs: Sequence[TokenRun], budget: int) -> Iterator[list[int]]:
        """Indices of the runs of each row; a run above the budget has a row of its own."""
        del prompt
        row: list[int] = []
        used = 0
        for index, run in enumerate(runs):
            size = len(run.ids) - 1
            if row and used + size > budget:
                yield row
                row, used = [], 0
            row.append(index)
            used += size
        if row:
            yield row

    def score(self, prompt: Ids, runs: Sequence[TokenRun], budget: int) -> list[LogProbs]:
        """One row: packed if its runs fit the budget together, in pieces if it is one long run."""
        try:
            self._read_prompt(prompt, budget)
            if len(runs) == 1:
                later = self._read_on(runs[0], budget)
            else:
                later = self._read_packed(runs)
            self._forget(len(prompt))
        except BaseException:
            self._prompt = None
            self._cache = DynamicCache()
            raise
        firsts = torch.from_numpy(np.array([run.ids[0] for run in runs]))
        values_first = self._first_V[firsts]
        later = later.cpu()
        values: list[Tensor] = []
        taken = 0
        for k, run in enumerate(runs):
            n_later = int(run.scored[1:].sum())
            values += [values_first[k : k + int(run.scored[0])], later[taken : taken + n_later]]
            taken += n_later
        self._counts.projected_tokens += sum(int(run.scored.sum()) for run in runs)
        return scatter(runs, torch.cat(values))

    def _read_prompt(self, prompt: Ids, budget: int) -> None:
        """Fills the cache with the prompt, unless it is the one that is there."""
        if self._prompt is not None and np.array_equal(self._prompt, prompt):
            return
        self._prompt = None
        self._cache = DynamicCache()
        for piece in np.array_split(prompt, -(-len(prompt) // budget)):
            inputs = self._inputs(piece, *self._causal(len(piece)))
            last = torch.tensor([len(piece) - 1], device=self._device)
            self._first_V = self._projector.log_softmax(inputs, last).cpu()
            self._counts.forwards += 1
        self._counts.prompt_tokens += len(prompt)
        self._prompt = prompt

    def _read_packed(self, runs: Sequence[TokenRun]) -> Tensor:
        """Log-probabilities of the scored tokens but each run's first, in order."""
        lengths = np.array([len(run.ids) - 1 for run in runs])
        if not lengths.sum():
            return torch.empty(0, device=self._device)
        past = self._cache.get_seq_length()
        ids = np.concatenate([run.ids[:-1] for run in runs])
        offsets = np.concatenate([np.arange(n) for n in lengths])
        run_of = torch.from_numpy(np.repeat(np.arange(len(runs)), lengths)).to(self._device)
        order = torch.arange(len(ids), device=self._device)
        own_QQ = (run_of[:, None] == run_of) & (order[:, None] >= order)
        seen_QK = torch.cat([own_QQ.new_ones(len(ids), past), own_QQ], dim=1)
        inputs = self._inputs(ids, past + offsets, seen_QK)
        return self._predict(
            inputs, [run.ids[1:] for run in runs], [run.scored[1:] for run in runs]
        )

    def _read_on(self, run: TokenRun, budget: int) -> Tensor:
        """The same for one run, read in pieces of at most `budget` tokens."""
        ids = run.ids[:-1]
        parts = [torch.empty(0, device=self._device)]
        for begin in range(0, len(ids), budget):
            piece = ids[begin : begin + budget]
            target = slice(begin + 1, begin + 1 + len(piece))
            inputs = self._inputs(piece, *self._causal(len(piece)))
            parts.append(self._predict(inputs, [run.ids[target]], [run.scored[target]]))
        return torch.cat(parts)

    def _predict(self, inputs: dict[str, Any], targets: list[Ids], scored: list[Any]) -> Tensor:
        keep = np.concatenate(scored)
        where = torch.from_numpy(np.flatnonzero(keep)).to(self._device)
        wanted = torch.from_numpy(np.concatenate(targets)[keep]).to(self._device)
        self._counts.forwards += 1
        self._counts.body_tokens += len(keep)
        return self._projector.logprobs(inputs, where, wanted)

    def _causal(self, n: int) -> tuple[Any, Tensor]:
        """Positions and mask of `n` tokens that go on where the cache ends."""
        past = self._cache.get_seq_length()
        order = torch.arange(past + n, device=self._device)
        return past + np.arange(n), order[past:, None] >= order

    def _inputs(self, ids: Ids, positions: Any, seen_QK: Tensor) -> dict[str, Any]:
        # Additive, which eager attention needs and which spares sdpa a conversion in each layer.
        mask_QK = torch.zeros(seen_QK.shape, dtype=self._dtype, device=self._device)
        mask_QK.masked_fill_(~seen_QK, torch.finfo(self._dtype).min)
        return {
            "input_ids": torch.from_numpy(ids).to(self._device)[None],
            "position_ids": torch.from_numpy(positions).to(self._device)[None],
            "attention_mask": mask_QK[None, None],
            "past_key_values": self._cache,
            "use_cache": True,
        }

    def _forget(self, length: int) -> None:
        """Takes back what runs added to the cache behind the prompt."""
        if extra := self._cache.get_seq_length() - length:
            self._cache.crop(-extra)
