"""Several ranks that answer their requests together: by what there is to do, not by rows.

lm-eval deals prompts out to ranks like cards, long ones and short ones alike. Here every rank
tells the others its prompts, each takes the longest that is left whenever it is free, and hands
the records back to the rank whose prompt it was. Knows nothing of how a prompt is scored.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple, TypeAlias

from tqdm import tqdm

from lnat_plugins.errors import LnatError
from lnat_plugins.in_process import Processes
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
    """

    prompt: str
    settings: Mapping[str, Any]
    steps: StepSpec
    candidates: tuple[Candidate, ...]

    @property
    def cost(self) -> int:
        """Characters of the responses."""
        return sum(len(one.text) for one in self.candidates)


Records: TypeAlias = "list[StepSums]"
Score: TypeAlias = "Callable[[Work], Records]"


def score_all(
    works: Sequence[Work], find: Callable[[Work], Records | None], score: Score, lm: Any
) -> list[Records]:
    """The records of each prompt, in order, whichever rank scored it.

    Args:
        works: this rank's prompts.
        find: records that this rank has kept from an earlier run, or None.
        score: scores one prompt on this rank, but for what it finds.
        lm: tells rank and number of ranks.

    Raises:
        LnatError: of any rank, on every rank.
    """
    processes = Processes()
    together = processes.count == lm.world_size > 1 and all(processes.gather(_travels(works)))
    if not together:
        return _alone(works, score, lm)
    everything = [work for own in processes.gather(list(works)) for work in own]
    found = _merge(processes.gather(_found(everything, find)))
    missing = [i for i in range(len(everything)) if i not in found]
    outcomes = processes.gather(_share(everything, missing, score, processes))
    for outcome in outcomes:
        if isinstance(outcome, LnatError):
            raise outcome
        found |= outcome
    counts = processes.gather(len(works))
    first = sum(counts[: processes.rank])
    return [found[first + i] for i in range(len(works))]


def _alone(works: Sequence[Work], score: Score, lm: Any) -> list[Records]:
    found = []
    with _bar(sum(work.cost for work in works), disable=lm.rank != 0) as bar:
        for work in works:
            found.append(score(work))
            bar.update(work.cost)
    return found


def _share(
    everything: Sequence[Work], missing: Sequence[int], score: Score, processes: Processes
) -> dict[int, Records] | LnatError:
    """What this rank scored. An error is an answer: the others must hear of it, not wait."""
    found: dict[int, Records] = {}
    costs = [everything[i].cost for i in missing]
    with (
        _bar(sum(costs), disable=not processes.main) as bar,
        closing(processes.take(costs)) as mine,
    ):
        try:
            for place in mine:
                found[missing[place]] = score(everything[missing[place]])
                bar.update(costs[place])
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


def _bar(total: int, *, disable: bool) -> tqdm[Any]:
    """Counts characters: a response of ten times the length takes ten times as long."""
    return tqdm(
        total=total, desc="Scoring responses", unit="character", unit_scale=True, disable=disable
    )
