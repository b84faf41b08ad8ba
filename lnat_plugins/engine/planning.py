"""What a pass reads: which runs share a pass, which prompt it holds, and the tokens of both.

The passes and the engine plan by these; `Planner` counts by them without a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from lnat_plugins.engine.types import ACTIVATIONS, Counts, Ids, RunScores, TokenRun

_PLANNED: Final = "the run was planned, not read"


class HeldPrompt(NamedTuple):
    """The prompt whose keys and values the packed pass holds.

    Args:
        ids: shape (P,); None = none is held.
        summed: whether the sum of its activations was taken.
        special: the token ids that this sum skips.
    """

    ids: Ids | None = None
    summed: bool = False
    special: frozenset[int] = frozenset()

    def serves(self, prompt: Ids, wants_sum: bool, special: frozenset[int]) -> bool:
        """Whether runs after this prompt can be read without reading it again."""
        known = self.ids is not None and np.array_equal(self.ids, prompt)
        return known and (not wants_sum or (self.summed and self.special == special))


def kinds_of_runs(runs: Sequence[TokenRun], indices: Iterable[int]) -> list[list[int]]:
    """Indices of runs of equal `wanted`; activations first, taken while the prompt is read."""
    kinds: dict[tuple[frozenset[str], frozenset[int]], list[int]] = {}
    for i in indices:
        kinds.setdefault((runs[i].wanted, runs[i].special), []).append(i)
    ordered = sorted(kinds.items(), key=lambda item: ACTIVATIONS not in item[0][0])
    return [kind for _, kind in ordered]


@dataclass(frozen=True)
class Planned:
    """Tokens that are to be read.

    Attributes:
        prompt_tokens, body_tokens: as in `Counts`.
    """

    prompt_tokens: int = 0
    body_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Both together."""
        return self.prompt_tokens + self.body_tokens

    def __add__(self, other: Planned) -> Planned:
        return Planned(
            self.prompt_tokens + other.prompt_tokens, self.body_tokens + other.body_tokens
        )


class Planner:
    """Stands for an engine that has no model: counts what one would read, and reads nothing.

    The counts are the engine's as long as no pass runs out of memory.

    Args:
        path: "packed" or "batched".
        has_activations: see `Engine`.

    Attributes:
        counts: `prompt_tokens` and `body_tokens` so far; the others stay 0.
        on_read: never called.
        reason: "", as of an engine that does what it was made for.
        vocabulary: 0, not known.
    """

    def __init__(self, path: str = "packed", *, has_activations: bool = True) -> None:
        self.path = path
        self.has_activations = has_activations
        self.counts = Counts()
        self.on_read: Callable[[], None] = lambda: None
        self.reason = ""
        self.vocabulary = 0
        self._held = HeldPrompt()

    def add(self, prompt: Ids, runs: Sequence[TokenRun]) -> None:
        """Counts one call of `Engine.score`."""
        for kind in kinds_of_runs(runs, range(len(runs))):
            wanted, special = runs[kind[0]].wanted, runs[kind[0]].special
            if self.path == "batched":
                self.counts.prompt_tokens += len(prompt) * len(kind)
            elif not self._held.serves(prompt, ACTIVATIONS in wanted, special):
                self.counts.prompt_tokens += len(prompt)
                self._held = HeldPrompt(prompt, ACTIVATIONS in wanted, special)
            self.counts.body_tokens += sum(len(runs[i].read) for i in kind)

    def score(self, prompt: Ids, runs: Sequence[TokenRun]) -> list[RunScores]:
        """As `add`; every run has a failure and NaN."""
        self.add(prompt, runs)
        return [
            RunScores(
                nothing := np.full(len(run.ids), np.nan),
                _PLANNED,
                dict.fromkeys(run.names, nothing),
            )
            for run in runs
        ]

    @property
    def planned(self) -> Planned:
        """The counts so far."""
        return Planned(self.counts.prompt_tokens, self.counts.body_tokens)
