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

from lnat_plugins.engine.attention import REPLACEABLE, SharedCache, split_attention
from lnat_plugins.engine.batched import ended, length_dependent_rope, scatter
from lnat_plugins.engine.projection import Projector, UnitSums, measure
from lnat_plugins.engine.types import ACTIVATIONS, Counts, Ids, RunScores, TokenRun, is_special


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

    def __init__(
        self, model: Any, projector: Projector, counts: Counts, unit_sums: UnitSums
    ) -> None:
        self._device = next(model.parameters()).device
        self._dtype = model.dtype
        self._config = model.config.get_text_config(decoder=True)
        self._projector = projector
        self._counts = counts
        self._prompt: Ids | None = None
        self._cache = SharedCache()
        self._first_V: Tensor = torch.empty(0)
        self._unit_sums = unit_sums
        self._prompt_sum_I: Tensor | None = None
        self._special: frozenset[int] = frozenset()

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
        """One row of runs that want the same, packed if they fit the budget together.

        A row of one run that does not fit is read in pieces.
        """
        names, wants_sums = runs[0].names, ACTIVATIONS in runs[0].wanted
        try:
            self._read_prompt(prompt, budget, wants_sums, runs[0].special)
            with self._unit_sums.collected(len(runs) if wants_sums else 0) as sums:
                if len(runs) == 1 and len(runs[0].read) > budget:
                    later = self._read_on(runs[0], budget)
                else:
                    later = self._read_packed(runs)
            self._forget(len(prompt))
        except BaseException:
            self._prompt = None
            self._cache = SharedCache()
            raise
        later_KN = later.cpu()
        values: list[Tensor] = []
        taken = 0
        for run in runs:
            n_later = int(run.scored[1:].sum())
            if run.scored[0]:
                first_1 = torch.from_numpy(run.ids[:1])
                values.append(measure(self._first_V[None], first_1, names))
            values.append(later_KN[:, taken : taken + n_later])
            taken += n_later
        self._counts.projected_tokens += sum(int(run.scored.sum()) for run in runs)
        found = scatter(runs, torch.cat(values, dim=-1))
        return ended(found, sums, self._prompt_sum_I)

    def _read_prompt(
        self, prompt: Ids, budget: int, wants_sum: bool, special: frozenset[int]
    ) -> None:
        """Fills the cache with the prompt, unless it is the one that is there."""
        known = self._prompt is not None and np.array_equal(self._prompt, prompt)
        summed = self._prompt_sum_I is not None and self._special == special
        if known and (summed or not wants_sum):
            return
        self._prompt = self._prompt_sum_I = None
        self._cache = SharedCache()
        with self._unit_sums.collected(int(wants_sum)) as sums:
            for k, piece in enumerate(np.array_split(prompt, -(-len(prompt) // budget))):
                last = torch.tensor([len(piece) - 1], device=self._device)
                with (
                    split_attention(self._config, self._cache, [len(piece)], self._device),
                    self._unit_sums.adding(np.where(is_special(piece, special), -1, 0)),
                ):
                    self._first_V = self._projector.log_softmax(self._going_on(piece), last).cpu()
                self._counts.forwards += 1
                if k == 0:
                    self._cache.reserve(len(prompt))
        self._prompt_sum_I = sums[0] if wants_sum else None
        self._counts.prompt_tokens += len(prompt)
        self._prompt, self._special = prompt, special

    def _read_packed(self, runs: Sequence[TokenRun]) -> Tensor:
        """The numbers of the scored tokens but each run's first, in order."""
        lengths = [len(run.read) for run in runs if len(run.read)]
        if not lengths:
            return torch.empty(1 + len(runs[0].names), 0)
        offsets = np.concatenate([np.arange(n) for n in lengths])
        self._cache.keep = False
        try:
            return self._predict(
                self._inputs(
                    np.concatenate([run.read for run in runs]),
                    self._cache.get_seq_length() + offsets,
                ),
                lengths,
                runs,
                np.repeat(np.arange(len(runs)), [len(run.read) for run in runs]),
                slice(None),
            )
        finally:
            self._cache.keep = True

    def _read_on(self, run: TokenRun, budget: int) -> Tensor:
        """The same for one run, read in pieces of at most `budget` tokens."""
        self._cache.reserve(self._cache.get_seq_length() + len(run.read))
        parts = []
        for begin in range(0, len(run.read), budget):
            piece = run.read[begin : begin + budget]
            parts.append(
                self._predict(
                    self._going_on(piece),
                    [len(piece)],
                    [run],
                    np.zeros(len(piece), np.int64),
                    slice(begin, begin + len(piece)),
                )
            )
        return torch.cat(parts, dim=-1)

    def _predict(
        self,
        inputs: dict[str, Any],
        lengths: Sequence[int],
        runs: Sequence[TokenRun],
        run_of_Q: Ids,
        part: slice,
    ) -> Tensor:
        """The numbers of the tokens that the given part of the row's tokens foretells."""
        # A token that is read for its activation alone foretells nothing.
        targets_Q = np.concatenate([np.append(run.ids[1:], 0)[: len(run.read)] for run in runs])
        scored_Q = np.concatenate(
            [np.append(run.scored[1:], False)[: len(run.read)] for run in runs]
        )
        targets_Q, scored_Q = targets_Q[part], scored_Q[part]
        where = torch.from_numpy(np.flatnonzero(scored_Q)).to(self._device)
        wanted = torch.from_numpy(targets_Q[scored_Q]).to(self._device)
        self._counts.forwards += 1
        self._counts.body_tokens += len(scored_Q)
        special_Q = is_special(np.concatenate([run.read for run in runs])[part], runs[0].special)
        with (
            split_attention(self._config, self._cache, lengths, self._device),
            self._unit_sums.adding(np.where(special_Q, -1, run_of_Q)),
        ):
            return self._projector.measure(inputs, where, wanted, runs[0].names)

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
