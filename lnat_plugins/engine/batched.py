"""The batched pass: every run is a row of its own behind its own copy of the prompt.

Exact for every causal model, sliding windows, alibi and state spaces included: a row is what the
definition says, and padding stands on the right, where no scored token sees it.

Shapes: B rows, L positions, N scored tokens of all runs, K = 1 + S numbers of each, I inner size
of the feed-forward block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnat_plugins.engine.planning import PlacedRun
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
    """The type of rotary positions that depend on a row's length: "longrope", "dynamic", or "".

    With "longrope" a row beyond the original context is read with other frequencies, so rows of
    different lengths cannot share a pass. With "dynamic" the frequencies also stay those of the
    longest row so far, so that a score depends on what was read before.
    """
    parameters = getattr(config, "rope_parameters", None) or {}
    # Nested where layers of different types have frequencies of their own.
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

    def plan(self, placed: Sequence[PlacedRun], budget: int) -> Iterator[list[int]]:
        """Indices of the runs of each batch, longest first, so that the largest pass comes first.

        A batch ends at the budget, where a quarter of its next row would be padding, and at a row
        of another length where positions depend on the length.
        """
        lengths = [len(one.prompt) + len(one.run.ids) for one in placed]
        batch: list[int] = []
        for index in sorted(range(len(placed)), key=lambda i: -lengths[i]):
            longest, length = lengths[batch[0] if batch else index], lengths[index]
            least = longest if self._one_length else 0.75 * longest
            if batch and ((len(batch) + 1) * longest > budget or length < least):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def score(self, placed: Sequence[PlacedRun], budget: int) -> list[RunScores]:
        """Scores runs of equal `wanted` in one forward; the budget was kept by `plan`."""
        del budget
        runs = [one.run for one in placed]
        length = max(1, *(len(one.prompt) + len(one.run.read) for one in placed))
        ids_BL = np.zeros((len(runs), length), np.int64)
        mask_BL = np.zeros((len(runs), length), np.int64)
        # Segments whose activations are summed: the prompt of row k is k, its run k + len(runs).
        segment_BL = np.full((len(runs), length), -1, np.int64)
        where: list[Ids] = []
        for row, (_, prompt, run) in enumerate(placed):
            read = np.concatenate([prompt, run.read])
            ids_BL[row, : len(read)] = read
            mask_BL[row, : len(read)] = 1
            segment_BL[row, : len(prompt)] = row
            segment_BL[row, len(prompt) : len(read)] = row + len(runs)
            segment_BL[row, : len(prompt)][is_special(prompt, run.special)] = -1
            segment_BL[row, len(prompt) : len(read)][run.left_out] = -1
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
        n_read = int(mask_BL.sum())
        self._counts.forwards += 1
        of_prompts = sum(len(one.prompt) for one in placed)
        self._counts.prompt_tokens += of_prompts
        self._counts.body_tokens += n_read - of_prompts
        self._counts.padding_tokens += mask_BL.size - n_read
        self._counts.projected_tokens += len(targets_N)
        return run_scores(runs, values_KN, sums[len(runs) :], sums[: len(runs)])


def run_scores(
    runs: Sequence[TokenRun], values_KN: Tensor, sums: Sequence[Tensor], prompts: Sequence[Tensor]
) -> list[RunScores]:
    """The numbers of each run of equal `wanted`, from the values of all their scored tokens.

    Args:
        runs: as they were read.
        values_KN: log-probability and statistics, in order of run and token.
        sums: of unit vectors, shape (I,) a run; empty where they were not taken.
        prompts: of each run's prompt, likewise.
    """
    ends = np.cumsum([run.scored.sum() for run in runs])
    values = np.split(values_KN.double().cpu().numpy(), ends[:-1], axis=1)
    found: list[RunScores] = []
    for index, run in enumerate(runs):
        rows_KT = np.full((len(values[index]), len(run.ids)), np.nan)
        rows_KT[:, run.scored] = values[index]
        activations = None
        if sums:
            own_I, prompt_I = sums[index], prompts[index]
            activations = Activations(float(own_I @ own_I), float(own_I @ prompt_I))
        statistics = dict(zip(run.names, rows_KT[1:], strict=True))
        found.append(RunScores(rows_KT[0], statistics=statistics, activations=activations))
    return found
