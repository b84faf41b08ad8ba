"""The engine: scores runs of token ids with one model, by the pass that suits it.

It compares the packed pass with the batched one before it is used, and keeps passes within the
memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch

from lnat_plugins.engine.batched import BatchedPass, length_dependent_rope
from lnat_plugins.engine.packed import PackedPass, unsupported
from lnat_plugins.engine.planning import PlacedRun, kinds_of_runs, placed_runs
from lnat_plugins.engine.projection import Projector, UnitSums, last_up_projection
from lnat_plugins.engine.types import (
    NO_MEMORY,
    OUT_OF_MEMORY,
    Counts,
    Floats,
    Ids,
    PromptRuns,
    RunScores,
    TokenRun,
    check_ids,
    checked_run,
    failed_run,
)
from lnat_plugins.errors import ConfigError, StudentError

PATHS: Final = ("auto", "packed", "batched")

SMALLEST_BUDGET: Final = 32
_CPU_BUDGET: Final = 512
_GPU_BUDGET: Final = 16384
_MEMORY_SHARE: Final = 0.5
"""Of the free memory that a pass may plan for; the rest is for the prompt's cache, long runs, the
projection's chunk, and what the allocator cannot use."""
_OUT_OF_MEMORY: Final = (
    "out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory",
)  # fmt: skip
_TRIAL_TOKENS: Final = 384
"""Most tokens that a trial reads at once, prompt and runs."""
# Largest difference between the two passes on one token that is rounding. A wrong mask or
# position costs 0.05 nats and more on most tokens.
_TOLERANCE: Final = {torch.float64: 1e-6, torch.float32: 2e-3}
_HALF_TOLERANCE: Final = 0.02

_log = logging.getLogger(__name__)


class Engine:
    """Scores runs of token ids with one causal model.

    Args:
        model: a transformers causal language model; used in eval mode and without gradients, and
            left as it was found.
        token_budget: tokens read in one pass; bounds the memory beyond the weights. None chooses
            by device. Halved when a pass runs out of memory.
        path: "auto", or one of the two passes by name, to compare them.

    Attributes:
        counts: what was read so far.
        on_read: called after each pass, with the counts as they are then.
        reason: why the packed pass is not used, "" if it is.
        projector: what measures tokens.
        has_activations: whether runs may want `ACTIVATIONS`: the last layer has an `mlp.up_proj`.

    Raises:
        ConfigError: for an unknown path, or "packed" where the model cannot take it.
        StudentError: for a model without an output embedding, whose scores would depend on the
            order of reading, or that has no memory for two tokens.
    """

    def __init__(self, model: Any, *, token_budget: int | None = None, path: str = "auto") -> None:
        if path not in PATHS:
            remedy = f"one of {', '.join(PATHS)}"
            raise ConfigError("unknown engine path", found=path, remedy=remedy)
        if length_dependent_rope(model.config.get_text_config(decoder=True)) == "dynamic":
            raise StudentError(
                "with rotary positions of type 'dynamic' a score depends on what was read before",
                found=type(model).__name__,
                remedy="load the student with another rope_type, such as yarn or default",
            )
        self.counts = Counts()
        self.on_read: Callable[[], None] = lambda: None
        self.reason = ""
        self._model = model
        self._budget = token_budget or default_budget(next(model.parameters()).device, model)
        self._first_budget = self._budget
        try:
            with reading(model):
                self.projector = Projector(model)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise StudentError(
                "the student ran out of memory on its first two tokens",
                found=str(next(model.parameters()).device), remedy=NO_MEMORY,
            ) from error  # fmt: skip
        self.vocabulary = vocabulary_of(model)
        up_projection = last_up_projection(model)
        self.has_activations = up_projection is not None
        self._unit_sums = UnitSums(up_projection)
        shared = model, self.projector, self.counts, self._unit_sums
        self._batched = BatchedPass(*shared)
        self._packed: PackedPass | None = None
        self._must_pack = path == "packed"
        if path == "batched":
            self.reason = "requested"
        elif reason := unsupported(model):
            self._give_up_packing(reason)
        else:
            self._packed = PackedPass(*shared)
        self._trial_due = self._packed is not None

    @property
    def path(self) -> str:
        """The pass in use: "packed" or "batched"."""
        return (self._packed or self._batched).name

    @property
    def at_once(self) -> int:
        """Tokens that one pass reads: short prompts of together so many are best given at once."""
        return self._first_budget

    @property
    def device(self) -> torch.device:
        """Where the model's inputs go."""
        found: torch.device = next(self._model.parameters()).device
        return found

    def score(self, prompt: Ids, runs: Sequence[TokenRun]) -> list[RunScores]:
        """As `score_all`, of one prompt."""
        return self.score_all([PromptRuns(prompt, runs)])[0]

    def score_all(self, reads: Sequence[PromptRuns]) -> list[list[RunScores]]:
        """The numbers of the scored tokens of each run after its prompt.

        The keys and values of all prompts are held in memory while the call lasts.

        Args:
            reads: the caller makes sure that prompt and run fit the model's context.

        Returns:
            One RunScores a run, in order, log-probabilities in nats. A run that does not fit into
            memory even alone has a failure and NaN; none is dropped.

        Raises:
            StudentError: a token that the student's embedding does not have.
        """
        placed = placed_runs(reads)
        check_ids(
            [*(one.prompt for one in reads), *(one.run.ids for one in placed)], self.vocabulary
        )
        with reading(self._model):
            if placed and self._trial_due:
                self._trial_due = False
                self._try_packing(placed)
            try:
                found = iter(self._score(placed))
            finally:
                if self._packed is not None:
                    self._packed.forget()
        return [[next(found) for _ in one.runs] for one in reads]

    def _score(self, placed: Sequence[PlacedRun]) -> list[RunScores]:
        results: dict[int, RunScores] = {}
        fitting = self._budget
        waiting = self._plan(placed, range(len(placed)))
        while waiting:
            group = waiting.pop(0)
            chosen = self._packed or self._batched
            try:
                values = chosen.score([placed[i] for i in group], self._budget)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                # Nothing is retried in here: the traceback still holds the tensors of the pass.
                values = None
            if values is not None:
                fitting = self._budget
                for index, one in zip(group, values, strict=True):
                    results[index] = checked_run(placed[index].run, one)
                self.on_read()
            elif self._shrink_budget(len(group)):
                left = [i for one in (group, *waiting) for i in one]
                waiting = self._plan(placed, left)
            elif len(group) > 1:
                waiting[:0] = [[i] for i in group]
            else:
                results[group[0]] = failed_run(placed[group[0]].run, OUT_OF_MEMORY)
                # The smallest budget did not help this run, so the others need not pay for it.
                self._budget = fitting
        return [results[i] for i in range(len(placed))]

    def _plan(self, placed: Sequence[PlacedRun], indices: Sequence[int]) -> list[list[int]]:
        """Groups of runs that are read together."""
        chosen = self._packed or self._batched
        groups: list[list[int]] = []
        for kind in kinds_of_runs(placed, indices):
            part = [placed[i] for i in kind]
            groups += [[kind[i] for i in one] for one in chosen.plan(part, self._budget)]
        return groups

    def _shrink_budget(self, n_runs: int) -> bool:
        """Halves the budget after a pass did not fit, if that can make the next one smaller."""
        torch.cuda.empty_cache()
        uncuttable = n_runs == 1 and self._packed is None
        if self._budget <= SMALLEST_BUDGET or uncuttable:
            return False
        self._budget = max(SMALLEST_BUDGET, self._budget // 2)
        return True

    def _try_packing(self, placed: Sequence[PlacedRun]) -> None:
        """Compares the two passes on a piece of the longest run; no packing if they differ.

        A trial that does not fit into memory is repeated with half the tokens, and the budget
        shrinks to as many.
        """
        _, prompt, run = max(placed, key=lambda one: len(one.run.ids))
        longest = run.ids
        size, fits = _TRIAL_TOKENS, False
        while not fits:
            failure, fits = "", True
            try:
                gap, allowed = self._gap(prompt[: 2 * size // 3], longest[: size // 4])
                if not gap <= allowed:  # true of NaN, too
                    failure = f"the packed pass is off by {gap:.2g} nats on a token"
            except Exception as error:  # noqa: BLE001 - the batched pass takes over, with a warning
                failure = f"the trial fails: {type(error).__name__}: {error}"
                fits = not is_out_of_memory(error) or size <= SMALLEST_BUDGET
            if not fits:
                torch.cuda.empty_cache()
                size //= 2
                self._budget = min(self._budget, max(SMALLEST_BUDGET, size))
        if failure:
            self._give_up_packing(failure)
            _log.warning("Runs are read by the slower batched pass: %s", failure)

    def _gap(self, prompt: Ids, ids: Ids) -> tuple[float, float]:
        """How far the two passes differ on a token, and how far they may, in nats.

        A run's halves and the whole of it are read behind the prompt and behind the end of it, all
        in one row; then the whole run in pieces. In half precision it is the mean difference that
        counts, since single tokens are rounded by much more than the mean. Rounding alone, which
        grows with a student's width and depth, may take as much: so the mean may be twice that
        between two ways to compute the plain pass's attention.
        """
        middle = -(-len(ids) // 2)
        cuts = [part for part in (ids[:middle], ids[middle:], ids) if len(part)]
        placed = [
            PlacedRun(number, before, TokenRun(part, np.ones(len(part), bool)))
            for number, before in enumerate((prompt, prompt[len(prompt) // 2 :]))
            for part in cuts
        ]
        whole = placed[len(cuts) - 1]
        shared = self._model, self.projector, Counts(), self._unit_sums
        fast, plain = PackedPass(*shared), BatchedPass(*shared)
        packed = [
            *fast.score(placed, 2 * len(prompt) + 4 * len(ids)), *fast.score([whole], middle)
        ]  # fmt: skip
        batched = [plain.score([one], 0)[0] for one in [*placed, whole]]
        gaps_N = _gaps(packed, batched)
        if self._model.dtype in _TOLERANCE:
            return float(gaps_N.max()), _TOLERANCE[self._model.dtype]
        with other_attention(self._model):
            rounded = [plain.score([one], 0)[0] for one in [*placed, whole]]
        rounding = float(_gaps(rounded, batched).mean())
        return float(gaps_N.mean()), max(_HALF_TOLERANCE, 2 * rounding)

    def _give_up_packing(self, reason: str) -> None:
        if self._must_pack:
            raise ConfigError(
                "this student cannot take the packed pass", found=reason,
                remedy="leave the engine path to 'auto'",
            )  # fmt: skip
        self._packed = None
        self.reason = reason


def _gaps(found: Sequence[RunScores], others: Sequence[RunScores]) -> Floats:
    """Differences of the log-probabilities of all tokens."""
    pairs = zip(found, others, strict=True)
    return np.concatenate([abs(one.logprobs - other.logprobs) for one, other in pairs])


@contextmanager
def other_attention(model: Any) -> Iterator[None]:
    """While it lasts the model computes its attention in another way: eager, or sdpa."""
    config = model.config.get_text_config(decoder=True)
    before = config._attn_implementation
    config._attn_implementation = "sdpa" if before == "eager" else "eager"
    try:
        yield
    finally:
        config._attn_implementation = before


def vocabulary_of(model: Any) -> int:
    """How many ids the embeddings of input and output have; 0 where that is not known."""
    known = (
        getattr(model.get_input_embeddings(), "num_embeddings", None),
        getattr(model.get_output_embeddings(), "out_features", None),
    )
    return min((size for size in known if isinstance(size, int)), default=0)


@contextmanager
def reading(model: torch.nn.Module) -> Iterator[None]:
    """A model in eval mode, without gradients; each module's own mode is restored."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def default_budget(device: torch.device, model: Any) -> int:
    """Tokens in one pass when the user sets none: enough to keep the device busy.

    A CPU is busy with a few hundred tokens; a GPU with some thousand, as far as they fit into the
    memory that is free when the engine is made.
    """
    if device.type != "cuda":
        return _CPU_BUDGET
    free, _ = torch.cuda.mem_get_info(device)
    fitting = int(_MEMORY_SHARE * free / bytes_per_token(model))
    return max(SMALLEST_BUDGET, min(_GPU_BUDGET, fitting))


def bytes_per_token(model: Any) -> int:
    """Bytes that one more token in a pass takes at its peak, beyond weights and cache.

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
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in message for words in _OUT_OF_MEMORY)
