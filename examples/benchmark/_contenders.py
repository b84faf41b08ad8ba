"""What takes part in the benchmark: a name, what a whole pass of it reads, and how to run it.

Knows nothing of clocks and tables. Here are the engine's two paths; lm-eval and the floor have
files of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from _workloads import Key, Workload

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import Counts, TokenRun
from lnat_plugins.steps.windows import Window

Sums = Mapping[Key, float]
KINDS: Final = ("lm_eval", "plain", "fast", "floor")
PATHS: Final = {"plain": "batched", "fast": "packed"}
"""The engine's own names of our two paths."""

_TRIAL_TOKENS: Final = 96


@dataclass(frozen=True)
class Contender:
    """One way to get the sums, or the floor beneath them.

    Args:
        kind: one of KINDS.
        name: as it stands in the table.
        counts: what one whole pass reads; ours is filled by running it.
        ready: makes everything ready and returns what is to be timed.
        share: the part of the pass that is timed, 0 to 1, in positions read.
        scale: seconds of a whole pass / seconds of the timed part.
        batch_size: of lm-eval.
        note: what the table's reader should know of it.
    """

    kind: str
    name: str
    counts: Counts
    ready: Callable[[], Callable[[], Sums]]
    share: float = 1.0
    scale: float = 1.0
    batch_size: int = 1
    note: str = ""


def ours(workload: Workload, windows: Sequence[Window], kind: str, budget: int | None) -> Contender:
    """Our engine on one path.

    One engine serves all passes; before each, another prompt takes the place of the workload's
    in its cache, so that every pass reads its prompts. The trial, once for a student, is over.

    Raises:
        ConfigError: the model cannot take this path.
    """
    counts = Counts()
    engine = try_out(workload, PATHS[kind], budget)

    def ready() -> Callable[[], Sums]:
        one = np.array([1])
        engine.score(one, [TokenRun(one, np.ones(1, bool))])
        before = dict(vars(engine.counts))

        def run() -> Sums:
            sums = workload.score(engine, windows)
            vars(counts).update({k: v - before[k] for k, v in vars(engine.counts).items()})
            return sums

        return run

    return Contender(kind, f"ours, {kind}", counts, ready)


def try_out(workload: Workload, path: str, budget: int | None) -> Engine:
    """A new engine that has had its trial, on another prompt of the same length."""
    engine = Engine(workload.model, token_budget=budget, path=path)
    trace = workload.traces[0]
    ids = trace.response.ids[:_TRIAL_TOKENS]
    engine.score(np.roll(trace.prompt, 1), [TokenRun(ids, np.ones(len(ids), bool))])
    return engine
