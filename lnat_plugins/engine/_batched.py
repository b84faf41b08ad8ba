"""The plain path: every run a row of its own behind its own copy of the prompt.

Exact for every causal model, sliding windows, alibi and state spaces included: a row is
what the definition says, and padding stands on the right where no scored token sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from lnat_plugins.engine._projection import Projector
from lnat_plugins.engine._rope import length_dependent_rope
from lnat_plugins.engine.types import Counts, Ids, LogProbs, TokenRun


class BatchedPass:
    """Scores runs in right-padded batches of at most `budget` tokens, padding included."""

    name = "batched"

    def __init__(self, model: Any, projector: Projector, counts: Counts) -> None:
        self._device = next(model.parameters()).device
        self._one_length = bool(length_dependent_rope(model.config.get_text_config(decoder=True)))
        self._projector = projector
        self._counts = counts

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

    def score(self, prompt: Ids, runs: Sequence[TokenRun], budget: int) -> list[LogProbs]:
        """One batch in one forward; `budget` is for the planner alone."""
        del budget
        length = len(prompt) + max(len(run.ids) for run in runs) - 1
        ids_BL = np.zeros((len(runs), length), np.int64)
        mask_BL = np.zeros((len(runs), length), np.int64)
        where: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
        for row, run in enumerate(runs):
            read = np.concatenate([prompt, run.ids[:-1]])
            ids_BL[row, : len(read)] = read
            mask_BL[row, : len(read)] = 1
            where.append(row * length + len(prompt) - 1 + np.flatnonzero(run.scored))
        targets_N = np.concatenate([run.ids[run.scored] for run in runs])
        logprobs_N = self._projector.logprobs(
            {
                "input_ids": torch.from_numpy(ids_BL).to(self._device),
                "attention_mask": torch.from_numpy(mask_BL).to(self._device),
                "use_cache": False,
            },
            torch.from_numpy(np.concatenate(where)).to(self._device),
            torch.from_numpy(targets_N).to(self._device),
        )
        self._counts.forwards += 1
        self._counts.prompt_tokens += len(prompt) * len(runs)
        self._counts.body_tokens += int(mask_BL.sum()) - len(prompt) * len(runs)
        self._counts.padding_tokens += int((1 - mask_BL).sum())
        self._counts.projected_tokens += len(targets_N)
        return scatter(runs, logprobs_N)


def scatter(runs: Sequence[TokenRun], logprobs_N: torch.Tensor) -> list[LogProbs]:
    """Values in order of run and token, put back to the tokens they belong to."""
    values = logprobs_N.double().cpu().numpy()
    out: list[LogProbs] = []
    taken = 0
    for run in runs:
        row = np.full(len(run.ids), np.nan)
        n = int(run.scored.sum())
        row[run.scored] = values[taken : taken + n]
        taken += n
        out.append(row)
    return out
