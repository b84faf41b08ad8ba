"""The fast path: the prompt is read once, and many runs share one row behind it.

The prompt's keys and values stay in a cache. Runs are laid end to end in one row, in which each
token sees the cache and its own run (`_split_attention`) and positions restart behind the prompt
for each run, so that every run is read as if it stood alone. A run longer than the budget is read
in pieces behind a growing cache. Needs attention layers that go through transformers' interface
and see all that lies before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnat_plugins.engine._batched import scatter
from lnat_plugins.engine._projection import Projector
from lnat_plugins.engine._rope import length_dependent_rope
from lnat_plugins.engine._split_attention import REPLACEABLE, SharedCache, split_attention
from lnat_plugins.engine.types import Counts, Ids, LogProbs, TokenRun


def unsuited(model: Any) -> str:
    """Why a model cannot take the packed pass, by what its configuration says, or ""."""
    config = model.config.get_text_config(decoder=True)
    attention = getattr(config, "_attn_implementation", None)
    if attention not in REPLACEABLE:
        return f"attention {attention!r} cannot be replaced"
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
        self._config = model.config.get_text_config(decoder=True)
        self._projector = projector
        self._counts = counts
        self._prompt: Ids | None = None
        self._cache = SharedCache()
        self._first_V: Tensor = torch.empty(0)

    def plan(self, prompt: Ids, runs: Sequence[TokenRun], budget: int) -> Iterator[list[int]]:
        """Indices of the runs of each row, longest first, so that a row's runs are of a length.

        A run above the budget has a row of its own.
        """
        del prompt
        row: list[int] = []
        used = 0
        for index in sorted(range(len(runs)), key=lambda i: -len(runs[i].ids)):
            size = len(runs[index].ids) - 1
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
            later = self._read_on(runs[0], budget) if len(runs) == 1 else self._read_packed(runs)
            self._forget(len(prompt))
        except BaseException:
            self._prompt = None
            self._cache = SharedCache()
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
        self._cache = SharedCache()
        for piece in np.array_split(prompt, -(-len(prompt) // budget)):
            last = torch.tensor([len(piece) - 1], device=self._device)
            with split_attention(self._config, self._cache, [len(piece)], self._device):
                self._first_V = self._projector.log_softmax(self._going_on(piece), last).cpu()
            self._counts.forwards += 1
        self._counts.prompt_tokens += len(prompt)
        self._prompt = prompt

    def _read_packed(self, runs: Sequence[TokenRun]) -> Tensor:
        """Log-probabilities of the scored tokens but each run's first, in order."""
        lengths = [len(run.ids) - 1 for run in runs if len(run.ids) > 1]
        if not lengths:
            return torch.empty(0, device=self._device)
        ids = np.concatenate([run.ids[:-1] for run in runs])
        offsets = np.concatenate([np.arange(n) for n in lengths])
        self._cache.keep = False
        try:
            inputs = self._inputs(ids, self._cache.get_seq_length() + offsets)
            return self._predict(
                inputs, lengths, [run.ids[1:] for run in runs], [run.scored[1:] for run in runs]
            )
        finally:
            self._cache.keep = True

    def _read_on(self, run: TokenRun, budget: int) -> Tensor:
        """The same for one run, read in pieces of at most `budget` tokens."""
        ids = run.ids[:-1]
        parts = [torch.empty(0, device=self._device)]
        for begin in range(0, len(ids), budget):
            piece = ids[begin : begin + budget]
            target = slice(begin + 1, begin + 1 + len(piece))
            parts.append(
                self._predict(
                    self._going_on(piece), [len(piece)], [run.ids[target]], [run.scored[target]]
                )
            )
        return torch.cat(parts)

    def _predict(
        self, inputs: dict[str, Any], lengths: Sequence[int], targets: list[Ids], scored: list[Any]
    ) -> Tensor:
        keep = np.concatenate(scored)
        where = torch.from_numpy(np.flatnonzero(keep)).to(self._device)
        wanted = torch.from_numpy(np.concatenate(targets)[keep]).to(self._device)
        self._counts.forwards += 1
        self._counts.body_tokens += len(keep)
        with split_attention(self._config, self._cache, lengths, self._device):
            return self._projector.logprobs(inputs, where, wanted)

    def _going_on(self, ids: Ids) -> dict[str, Any]:
        """Input that goes on where the cache ends."""
        return self._inputs(ids, self._cache.get_seq_length() + np.arange(len(ids)))

    def _inputs(self, ids: Ids, positions: Any) -> dict[str, Any]:
        return {
            "input_ids": torch.from_numpy(ids).to(self._device)[None],
            "position_ids": torch.from_numpy(positions).to(self._device)[None],
            # Of four dimensions, so that the model builds no mask of its own; nothing reads it.
            "attention_mask": torch.zeros(1, 1, 1, 1, dtype=self._dtype, device=self._device),
            "past_key_values": self._cache,
            "use_cache": True,
        }

    def _forget(self, length: int) -> None:
        """Takes back what a long run added to the cache behind the prompt."""
        if extra := self._cache.get_seq_length() - length:
            self._cache.crop(-extra)
