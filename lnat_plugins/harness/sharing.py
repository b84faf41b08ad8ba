"""Several ranks that answer their requests together: by what there is to do, not by rows.

lm-eval deals prompts out to ranks like cards, long ones and short ones alike. Here every rank
tells the others its prompts, each takes the longest that is left whenever it is free, and hands
the records back to the rank whose prompt it was. Knows nothing of how a prompt is scored.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from lnat_plugins.errors import LnatError
from lnat_plugins.in_process import Processes, Progress, ahead
from lnat_plugins.in_process.processes import Taken
from lnat_plugins.record import StepSums
from lnat_plugins.scorer import Candidate
from lnat_plugins.steps import StepSpec


class Work(NamedTuple):
    """One prompt to be scored.

    Args:
        prompt: rendered.
        settings: everything that decides the numbers, as JSON values.
        steps: how responses are cut.
        candidates: the responses.
        statistics: what is gathered beside log-probabilities.
    """

    prompt: str
    settings: Mapping[str, Any]
    steps: StepSpec
    candidates: tuple[Candidate, ...]
    statistics: frozenset[str] = frozenset()

    @property
    def cost(self) -> int:
        """Characters of the responses."""
        return sum(len(one.text) for one in self.candidates)


Records: TypeAlias = "list[StepSums]"
R = TypeVar("R")


class Scoring(Protocol[R]):
    """How one prompt is scored on this rank."""

    @property
    def tokens_read(self) -> int:
        """By the student, so far."""
        ...

    def find(self, work: Work) -> Records | None:
        """Records that this rank has kept from an earlier run, or None."""
        ...

    def prepare(self, work: Work) -> R:
        """What can be done before the prompt's turn, in another thread."""
        ...

    def score(self, work: Work, ready: R) -> Records:
        """The records, from what `prepare` gave."""
        ...


def score_all(works: Sequence[Work], scoring: Scoring[R], lm: Any) -> list[Records]:
    """The records of each prompt, in order, whichever rank scored it.

    Args:
        works: this rank's prompts.
        scoring: scores one prompt on this rank, but for what was kept.
        lm: tells rank and number of ranks.

    Raises:
        LnatError: of any rank, on every rank.
    """
    processes = Processes()
    together = processes.count == lm.world_size > 1 and all(processes.gather(_travels(works)))
    if not together:
        return _alone(works, scoring, lm)
    everything = [work for own in processes.gather(list(works)) for work in own]
    found = _merge(processes.gather(_found(everything, scoring.find)))
    missing = [i for i in range(len(everything)) if i not in found]
    outcomes = processes.gather(_share(everything, missing, scoring, processes))
    for outcome in outcomes:
        if isinstance(outcome, LnatError):
            raise outcome
        found |= outcome
    counts = processes.gather(len(works))
    first = sum(counts[: processes.rank])
    return [found[first + i] for i in range(len(works))]


def _alone(works: Sequence[Work], scoring: Scoring[R], lm: Any) -> list[Records]:
    found = []
    behind = 0
    with _progress(sum(work.cost for work in works), scoring, disable=lm.rank != 0) as progress:
        for work, ready in ahead(works, scoring.prepare):
            found.append(scoring.score(work, ready))
            progress.done(work.cost, behind)
            behind += work.cost
    return found


def _share(
    everything: Sequence[Work], missing: Sequence[int], scoring: Scoring[R], processes: Processes
) -> dict[int, Records] | LnatError:
    """What this rank scored. An error is an answer: the others must hear of it, not wait."""
    found: dict[int, Records] = {}
    costs = [everything[i].cost for i in missing]

    def prepare(taken: Taken) -> R:
        return scoring.prepare(everything[missing[taken.item]])

    with (
        _progress(sum(costs), scoring, disable=not processes.main) as progress,
        closing(processes.take(costs)) as mine,
    ):
        try:
            for (place, behind, _), ready in ahead(mine, prepare, lambda one: one.plenty):
                found[missing[place]] = scoring.score(everything[missing[place]], ready)
                progress.done(costs[place], behind)
        except LnatError as error:
            return error
    return found


def _found(
    everything: Sequence[Work], find: Callable[[Work], Records | None]
) -> dict[int, Records]:
    kept = ((i, find(work)) for i, work in enumerate(everything))
    return {i: records for i, records in kept if records is not None}


def _merge(parts: Sequence[Mapping[int, Records]]) -> dict[int, Records]:
    return {i: records for part in parts for i, records in part.items()}


def _travels(works: Sequence[Work]) -> bool:
    """Whether the prompts can be told to others: a splitter out of a plugin's file cannot."""
    try:
        pickle.dumps([work.steps for work in works])
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def _progress(total: int, scoring: Scoring[Any], *, disable: bool) -> Progress:
    return Progress(total, "Scoring responses", lambda: scoring.tokens_read, disable=disable)
