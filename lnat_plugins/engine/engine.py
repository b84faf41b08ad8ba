"""The engine: runs of token ids in, the numbers of their tokens out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch

from lnat_plugins.engine.batched import BatchedPass, length_dependent_rope
from lnat_plugins.engine.packed import PackedPass, unsuited
from lnat_plugins.engine.projection import Projector, UnitSums, last_up_projection
from lnat_plugins.engine.types import (
    ACTIVATIONS,
    Activations,
    Counts,
    Floats,
    Ids,
    RunScores,
    TokenRun,
)
from lnat_plugins.errors import ConfigError, StudentError

__all__ = [
    "ACTIVATIONS",
    "Activations",
    "Counts",
    "Engine",
    "PATHS",
    "RunScores",
    "TokenRun",
]

SMALLEST_BUDGET: Final = 32
_ON_CPU: Final = 512
_ON_GPU: Final = 16384
_SHARE: Final = 0.5
"""Of the free memory that a pass may plan for; the rest is for the prompt's cache, long runs, the
projection's chunk, and what the allocator cannot use."""
_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def default_budget(device: torch.device, model: Any) -> int:
    """Tokens in one pass when the user does not say: enough to keep the device busy.

    A CPU is busy with a few hundred tokens. A GPU with some thousand, as far as its free memory
    holds them; that is looked up once, so that the same passes follow.
    """
    if device.type != "cuda":
        return _ON_CPU
    free, _ = torch.cuda.mem_get_info(device)
    fitting = int(_SHARE * free / bytes_per_token(model))
    return max(SMALLEST_BUDGET, min(_ON_GPU, fitting))


def bytes_per_token(model: Any) -> int:
    """What one more token in a pass takes at its peak, beyond weights and cache.

    In a layer: its input, the residual and its norm, queries, keys, values and their copies by run,
    then gate, up-projection and their product; the last is the peak of gated students.
    """
    config = model.config.get_text_config(decoder=True)
    hidden = config.hidden_size
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    return int((8 * hidden + 3 * inner) * model.dtype.itemsize)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that a tensor did not fit, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


PATHS = ("auto", "packed", "batched")

_TRIAL_PROMPT = 256
_TRIAL_TOKENS = 96
# Largest difference between the two passes on one token that is rounding and not a wrong
# mask or position, which cost 0.05 nats and more on most tokens.
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 2e-3}
_HALF_TOLERANCE = 0.02


class Engine:
    """Scores runs of token ids with one causal model.

    Args:
        model: a transformers causal language model; used in eval mode and without
            gradients, and left as it was found.
        token_budget: tokens read in one pass; bounds the memory beyond the weights.
            None chooses by device. Halved when a pass runs out of memory.
        path: "auto", or one of the two passes by name.

    Raises:
        ConfigError: for an unknown path, or "packed" where the model cannot take it.
        StudentError: for a model without an output embedding, or whose scores would depend
            on the order of reading.
    """

    def __init__(self, model: Any, *, token_budget: int | None = None, path: str = "auto") -> None:
        if path not in PATHS:
            raise ConfigError(
                "unknown engine path", found=path, remedy=f"one of {', '.join(PATHS)}"
            )
        if length_dependent_rope(model.config.get_text_config(decoder=True)) == "dynamic":
            raise StudentError(
                "with rotary positions of type 'dynamic' a score depends on what was read before",
                found=type(model).__name__,
                remedy="load the student with another rope_type, such as yarn or default",
            )
        self.counts = Counts()
        self.reason = ""
        self._model = model
        self._device = next(model.parameters()).device
        self._budget = token_budget or default_budget(self._device, model)
        with _reading(model):
            projector = Projector(model)
        self._unit_sums = UnitSums(last_up_projection(model))
        self._batched = BatchedPass(model, projector, self.counts, self._unit_sums)
        self._packed: PackedPass | None = None
        self._projector = projector
        self._proved = path == "batched"
        self._must_pack = path == "packed"
        if path == "batched":
            self.reason = "asked for"
        elif reason := unsuited(model):
            self._give_up_packing(reason)
        else:
            self._packed = PackedPass(model, projector, self.counts, self._unit_sums)

    @property
    def has_activations(self) -> bool:
        """Whether runs may want `ACTIVATIONS`: the last layer has an `mlp.up_proj`."""
        return self._unit_sums.possible

    @property
    def path(self) -> str:
        """The pass in use: "packed" or "batched"."""
        return (self._packed or self._batched).name

    def score(self, prompt: Ids, runs: Sequence[TokenRun]) -> list[RunScores]:
        """The numbers of the scored tokens of each run after the prompt.

        Args:
            prompt: shape (P,), P ≥ 1, token ids.
            runs: each with at least one token. That prompt and run fit the model's context
                is the caller's concern.

        Returns:
            One RunScores a run, in order, log-probabilities in nats. A run that does not fit into
            memory even alone has a failure and NaN; nothing is left out.
        """
        with _reading(self._model):
            if not self._proved and runs:
                self._prove(prompt, runs)
            return self._score(prompt, runs)

    def _score(self, prompt: Ids, runs: Sequence[TokenRun]) -> list[RunScores]:
        results: dict[int, RunScores] = {}
        waiting = self._plan(prompt, runs, range(len(runs)))
        while waiting:
            group = waiting.pop(0)
            chosen = self._packed or self._batched
            try:
                values = chosen.score(prompt, [runs[i] for i in group], self._budget)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                values = None
            if values is not None:
                for index, row in zip(group, values, strict=True):
                    results[index] = _checked(runs[index], row)
            elif self._shrink(len(group)):
                left = [i for one in (group, *waiting) for i in one]
                waiting = self._plan(prompt, runs, left)
            elif len(group) > 1:
                waiting[:0] = [[i] for i in group]
            else:
                results[group[0]] = _nothing(runs[group[0]], "the pass ran out of memory")
        return [results[i] for i in range(len(runs))]

    def _plan(
        self, prompt: Ids, runs: Sequence[TokenRun], indices: Sequence[int]
    ) -> list[list[int]]:
        """Groups of runs to be read together; those of one group want the same.

        Activations come first, so that the prompt's are taken when it is read.
        """
        chosen = self._packed or self._batched
        kinds: dict[tuple[frozenset[str], frozenset[int]], list[int]] = {}
        for i in indices:
            kinds.setdefault((runs[i].wanted, runs[i].special), []).append(i)
        groups: list[list[int]] = []
        for _, kind in sorted(kinds.items(), key=lambda item: ACTIVATIONS not in item[0][0]):
            part = [runs[i] for i in kind]
            groups += [[kind[i] for i in one] for one in chosen.plan(prompt, part, self._budget)]
        return groups

    def _shrink(self, n_runs: int) -> bool:
        """Halves the budget after a pass did not fit, if that can make the next one smaller."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        can_cut_runs = self._packed is not None
        if self._budget <= SMALLEST_BUDGET or (n_runs == 1 and not can_cut_runs):
            return False
        self._budget = max(SMALLEST_BUDGET, self._budget // 2)
        return True

    def _prove(self, prompt: Ids, runs: Sequence[TokenRun]) -> None:
        """Compares the two passes on a piece of the longest run, packed and read in pieces."""
        self._proved = True
        if self._packed is None:
            return
        prompt = prompt[:_TRIAL_PROMPT]
        ids = max((run.ids for run in runs), key=len)[:_TRIAL_TOKENS]
        middle = -(-len(ids) // 2)
        cuts = [part for part in (ids[:middle], ids[middle:], ids) if len(part)]
        trial = [TokenRun(part, np.ones(len(part), bool)) for part in cuts]
        try:
            fast = PackedPass(self._model, self._projector, Counts(), self._unit_sums)
            packed = fast.score(prompt, trial, 2 * len(ids))
            packed += fast.score(prompt, trial[-1:], middle)
            slow = BatchedPass(self._model, self._projector, Counts(), self._unit_sums)
            plain = [slow.score(prompt, [run], 0)[0] for run in [*trial, trial[-1]]]
        except Exception as error:  # noqa: BLE001 - the plain pass takes over, and says why
            self._give_up_packing(f"the trial fails: {type(error).__name__}: {error}")
            return
        gap = np.abs(_joined(packed) - _joined(plain))
        dtype = self._model.dtype
        worst = float(gap.max() if dtype in _TOLERANCE else gap.mean())
        if not worst <= _TOLERANCE.get(dtype, _HALF_TOLERANCE):
            self._give_up_packing(f"the packed pass is off by {worst:.2g} nats on a token")

    def _give_up_packing(self, reason: str) -> None:
        if self._must_pack:
            raise ConfigError(
                "this student cannot take the packed pass",
                found=reason,
                remedy="leave the engine path to 'auto'",
            )
        self._packed = None
        self.reason = reason


def _joined(scores: Sequence[RunScores]) -> Floats:
    return np.concatenate([one.logprobs for one in scores])


def _checked(run: TokenRun, found: RunScores) -> RunScores:
    """A value that is not finite is no value: the whole run says so."""
    values = [found.logprobs[run.scored]]
    values += [each[run.scored] for each in found.statistics.values()]
    values += [np.array(found.activations or ())]
    if all(np.isfinite(each).all() for each in values):
        return found
    return _nothing(run, "the student gave a log-probability of NaN or infinity")


def _nothing(run: TokenRun, failure: str) -> RunScores:
    nothing = np.full(len(run.ids), np.nan)
    return RunScores(nothing, failure, dict.fromkeys(run.names, nothing))


@contextmanager
def _reading(model: torch.nn.Module) -> Iterator[None]:
    """Eval mode without gradients; each module's own mode is restored."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
