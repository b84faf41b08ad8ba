"""What a pass reads: which runs share a pass, which prompts it holds, and the tokens of both.

The passes and the engine plan by these; `Planner` counts by them without a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from lnat_plugins.engine.types import (
    ACTIVATIONS,
    Counts,
    Ids,
    PromptRuns,
    RunScores,
    TokenRun,
    failed_run,
)

_PLANNED: Final = "the run was planned, not read"


@dataclass(frozen=True)
class HeldPrompt:
    """A prompt whose keys and values the packed pass holds.

    Args:
        ids: shape (P,).
        summed: whether the sum of its activations was taken.
        special: the token ids that this sum skips.
    """

    ids: Ids
    summed: bool = False
    special: frozenset[int] = frozenset()

    def serves(self, run: TokenRun) -> bool:
        """Whether the run can be read behind it without reading the prompt again."""
        return ACTIVATIONS not in run.wanted or (self.summed and self.special == run.special)


class PlacedRun(NamedTuple):
    """A run of one call of the engine.

    Args:
        read: number of its prompt among those of the call.
        prompt: that prompt.
    """

    read: int
    prompt: Ids
    run: TokenRun


def placed_runs(reads: Sequence[PromptRuns]) -> list[PlacedRun]:
    """The runs of all prompts, in order."""
    return [
        PlacedRun(number, prompt, run)
        for number, (prompt, runs) in enumerate(reads)
        for run in runs
    ]  # fmt: skip


def kinds_of_runs(placed: Sequence[PlacedRun], indices: Iterable[int]) -> list[list[int]]:
    """Indices of runs of equal `wanted`; activations first, taken while the prompt is read."""
    kinds: dict[tuple[frozenset[str], frozenset[int]], list[int]] = {}
    for i in indices:
        run = placed[i].run
        kinds.setdefault((run.wanted, run.special), []).append(i)
    ordered = sorted(kinds.items(), key=lambda item: ACTIVATIONS not in item[0][0])
    return [kind for _, kind in ordered]


@dataclass(frozen=True)
class Planned:
    """Tokens that are to be read, and what decides the work that they make.

    Attributes:
        prompt_tokens, body_tokens, projected_tokens: as in `Counts`.
        attended: pairs of a token that is read and a token that it attends to, itself or before
            it; 0 if it is not known.
    """

    prompt_tokens: int = 0
    body_tokens: int = 0
    projected_tokens: int = 0
    attended: int = 0

    @property
    def tokens(self) -> int:
        """Both together."""
        return self.prompt_tokens + self.body_tokens

    def __add__(self, other: Planned) -> Planned:
        return Planned(
            self.prompt_tokens + other.prompt_tokens,
            self.body_tokens + other.body_tokens,
            self.projected_tokens + other.projected_tokens,
            self.attended + other.attended,
        )


class Planner:
    """Stands for an engine that has no model: counts what one would read, and reads nothing.

    The counts are the engine's as long as no pass runs out of memory.

    Args:
        path: "packed" or "batched".
        has_activations: see `Engine`.

    Attributes:
        counts: `prompt_tokens`, `body_tokens` and `projected_tokens` so far; the others stay 0.
        attended: as in `Planned`, so far.
        on_read: never called.
        reason: "", as of an engine that does what it was made for.
        vocabulary: 0, not known.
        at_once: 0, for nothing is read.
    """

    at_once = 0

    def __init__(self, path: str = "packed", *, has_activations: bool = True) -> None:
        self.path = path
        self.has_activations = has_activations
        self.counts = Counts()
        self.attended = 0
        self.on_read: Callable[[], None] = lambda: None
        self.reason = ""
        self.vocabulary = 0

    def add(self, reads: Sequence[PromptRuns]) -> None:
        """Counts one call of `Engine.score_all`."""
        placed = placed_runs(reads)
        held: dict[int, HeldPrompt] = {}
        for kind in kinds_of_runs(placed, range(len(placed))):
            for number, prompt, run in (placed[i] for i in kind):
                n_prompt, n_run = len(prompt), len(run.read)
                self.counts.body_tokens += n_run
                self.counts.projected_tokens += int(run.scored.sum())
                self.attended += n_run * n_prompt + n_run * (n_run + 1) // 2
                reads_prompt = number not in held or not held[number].serves(run)
                if self.path == "batched" or reads_prompt:
                    self.counts.prompt_tokens += n_prompt
                    self.attended += n_prompt * (n_prompt + 1) // 2
                if self.path != "batched" and reads_prompt:
                    held[number] = HeldPrompt(prompt, ACTIVATIONS in run.wanted, run.special)

    def score_all(self, reads: Sequence[PromptRuns]) -> list[list[RunScores]]:
        """As `add`; every run has a failure and NaN."""
        self.add(reads)
        return [[failed_run(run, _PLANNED) for run in runs] for _, runs in reads]

    @property
    def planned(self) -> Planned:
        """The counts so far."""
        counts = self.counts
        return Planned(
            counts.prompt_tokens, counts.body_tokens, counts.projected_tokens, self.attended
        )
