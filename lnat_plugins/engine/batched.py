"""Rotary positions whose meaning depends on how much is read at once.

The plain path: every run a row of its own behind its own copy of the prompt.

Exact for every causal model, sliding windows, alibi and state spaces included: a row is
what the definition says, and padding stands on the right where no scored token sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from lnat_plugins.engine.projection import Projector, UnitSums
from lnat_plugins.engine.types import (
    ACTIVATIONS,
    Activations,
    Counts,
    Ids,
    RunScores,
    TokenRun,
    is_special,
)


def length_dependent_rope(config: Any) -> str:
    """ "longrope", "dynamic", or "" for a configuration whose positions mean one thing.

    With "longrope" a row beyond the original context is read with other frequencies, so rows
    of different lengths cannot share a pass. With "dynamic" the frequencies moreover stay as
    the longest row so far left them, so that a score depends on what was read before.
    """
    parameters = getattr(config, "rope_parameters", None) or {}
    each = [parameters, *(value for value in parameters.values() if isinstance(value, dict))]
    return min({str(one.get("rope_type")) for one in each} & {"dynamic", "longrope"}, default="")


class BatchedPass:
    """Scores runs in right-padded batches of at most `budget` tokens, padding included."""

    name = "batched"

    def __init__(
        self, model: Any, projector: Projector, counts: Counts, unit_sums: UnitSums
    ) -> None:
        self._device = next(model.parameters()).device
        self._one_length = bool(length_dependent_rope(model.config.get_text_config(decoder=True)))
        self._projector = projector
        self._counts = counts
        self._unit_sums = unit_sums

    def plan(self, prompt: Ids, runs: Sequence[TokenRun], budget: int) -> Iterator[list[int]]:
        """Indices of the runs of each batch, longest first so that the worst comes first.

        A batch ends at the budget, where its rows would be padding for a quarter, and with a
        row of another length where positions depend on it.
        """
        batch: list[int] = []
        for index in sorted(range(len(runs)), key=lambda i: -len(runs[i].ids)):
            longest = len(prompt) + len(runs[batch[0] if batch else index].ids)
            length = len(prompt) + len(runs[index].ids)
            least = longest if self._one_length else 0.75 * longest
            if batch and ((len(batch) + 1) * longest > budget or length < least):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def score(self, prompt: Ids, runs: Sequence[TokenRun], budget: int) -> list[RunScores]:
        """One batch of runs that want the same in one forward; `budget` is the planner's."""
        del budget
        length = max(1, len(prompt) + max(len(run.read) for run in runs))
        ids_BL = np.zeros((len(runs), length), np.int64)
        mask_BL = np.zeros((len(runs), length), np.int64)
        # Prompts first, then the runs: prompt k is segment k, its run segment k + len(runs).
        segment_BL = np.full((len(runs), length), -1, np.int64)
        where: list[Ids] = []
        for row, run in enumerate(runs):
            read = np.concatenate([prompt, run.read])
            ids_BL[row, : len(read)] = read
            mask_BL[row, : len(read)] = 1
            segment_BL[row, : len(prompt)] = row
            segment_BL[row, len(prompt) : len(read)] = row + len(runs)
            segment_BL[row, : len(read)][is_special(read, run.special)] = -1
            where.append(row * length + len(prompt) - 1 + np.flatnonzero(run.scored))
        targets_N = np.concatenate([run.ids[run.scored] for run in runs])
        wants_sums = ACTIVATIONS in runs[0].wanted
        with (
            self._unit_sums.collected(2 * len(runs) if wants_sums else 0) as sums,
            self._unit_sums.adding(segment_BL.reshape(-1)),
        ):
            values_KN = self._projector.measure(
                {
                    "input_ids": torch.from_numpy(ids_BL).to(self._device),
                    "attention_mask": torch.from_numpy(mask_BL).to(self._device),
                    "use_cache": False,
                },
                torch.from_numpy(np.concatenate(where)).to(self._device),
                torch.from_numpy(targets_N).to(self._device),
                runs[0].names,
            )
        self._counts.forwards += 1
        self._counts.prompt_tokens += len(prompt) * len(runs)
        self._counts.body_tokens += int(mask_BL.sum()) - len(prompt) * len(runs)
        self._counts.padding_tokens += int((1 - mask_BL).sum())
        self._counts.projected_tokens += len(targets_N)
        prompt_sum_I = sums[0] if wants_sums else None
        return ended(scatter(runs, values_KN), sums[len(runs) :], prompt_sum_I)


def scatter(runs: Sequence[TokenRun], values_KN: torch.Tensor) -> list[RunScores]:
    """Numbers in order of run and token, put back to the tokens they belong to."""
    values = values_KN.double().cpu().numpy()
    found: list[RunScores] = []
    taken = 0
    for run in runs:
        rows = np.full((len(values), len(run.ids)), np.nan)
        n = int(run.scored.sum())
        rows[:, run.scored] = values[:, taken : taken + n]
        taken += n
        found.append(RunScores(rows[0], statistics=dict(zip(run.names, rows[1:], strict=True))))
    return found


def ended(
    found: list[RunScores], sums: Sequence[torch.Tensor], prompt_sum_I: torch.Tensor | None
) -> list[RunScores]:
    """The runs' scores with what their sums of unit vectors give, where these were taken."""
    if prompt_sum_I is None or not sums:
        return found
    return [
        one._replace(activations=Activations(float(own_I @ own_I), float(own_I @ prompt_sum_I)))
        for one, own_I in zip(found, sums, strict=True)
    ]
