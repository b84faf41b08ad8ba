"""Several processes that score one pool together: who takes which prompt, and how they meet.

Knows nothing of models and of scores. The processes are those of `accelerate`; one process
alone needs none of this and gets everything back as it is.

Preparing the next piece of work while this one is done: tokens ahead of the device.

How far a scoring run is: in tokens read, with the time that is left.

How many tokens a response will cost is known only once it is cut and planned, its characters at
once. So the bar goes by characters, which cost alike, and is told in tokens at the rate so far.

Several ranks that answer their requests together: by what there is to do, not by rows.

lm-eval deals prompts out to ranks like cards, long ones and short ones alike. Here every rank
tells the others its prompts, each takes the longest that is left whenever it is free, and hands
the records back to the rank whose prompt it was. Knows nothing of how a prompt is scored.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch.distributed import distributed_c10d
from tqdm import tqdm

from lnat_plugins.errors import LnatError
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.steps import StepSpec
from lnat_plugins.teacher_set.prompts import Response

T = TypeVar("T")


class Taken(NamedTuple):
    """An item of a common list, and how much of the list was taken before it, by anybody.

    Args:
        item: its index.
        behind: the costs of the items taken before.
        plenty: whether so many are left that one may be taken before this one is done.
    """

    item: int
    behind: float
    plenty: bool = True


class Processes:
    """The processes of this run; every method is called by all of them alike."""

    _queues: ClassVar[Iterator[int]] = itertools.count()

    def __init__(self) -> None:
        state = PartialState()
        self.count: int = state.num_processes
        self.rank: int = state.process_index

    @property
    def main(self) -> bool:
        """Whether this is the first process, which prints and writes."""
        return self.rank == 0

    def take(self, costs: Sequence[float]) -> Generator[Taken, None, None]:
        """Items of a common list, the dearest first, each taken by whoever is free.

        So a slow process delays the others by one item at most. A process that stops taking
        because of an error ends it for all.
        """
        order = sorted(range(len(costs)), key=lambda item: (-costs[item], item))
        behind = itertools.accumulate((costs[item] for item in order), initial=0.0)
        taken = [
            Taken(item, before, len(order) - place > self.count)
            for place, (item, before) in enumerate(zip(order, behind, strict=False))
        ]
        # Numbered now, not when the first item is taken: alike in all processes.
        return self._take(taken, f"lnat/queue/{next(self._queues)}")

    def _take(self, order: Sequence[Taken], queue: str) -> Generator[Taken, None, None]:
        if self.count == 1:
            yield from order
            return
        store = distributed_c10d._get_default_store()
        finished = False
        try:
            while (place := store.add(queue, 1) - 1) < len(order):
                yield order[place]
            finished = True
        finally:
            if not finished:
                store.add(queue, len(order))

    def gather(self, value: T) -> list[T]:
        """The value of every process, in order of rank."""
        found: list[T] = gather_object([value])
        return found

    def together(self, work: Callable[[], T]) -> T:
        """What each process gets by doing it; an error of one of them in every process."""
        outcome: T | None = None
        failure: LnatError | None = None
        try:
            outcome = work()
        except LnatError as error:
            failure = error
        for heard in self.gather(failure):
            if heard is not None:
                raise heard
        return cast(T, outcome)

    def once(self, work: Callable[[], T]) -> T:
        """What the first process gets by doing it, in every process; its error likewise."""
        held: list[T | LnatError | None] = [None]
        if self.main:
            try:
                held = [work()]
            except LnatError as error:
                held = [error]
        broadcast_object_list(held, from_process=0)
        if isinstance(held[0], LnatError):
            raise held[0]
        return cast(T, held[0])


P = TypeVar("P")


def ahead(
    items: Iterable[T],
    prepare: Callable[[T], P],
    early: Callable[[T], bool] = lambda _: True,
) -> Iterator[tuple[T, P]]:
    """Each item with what `prepare` makes of it, in order; the next one is prepared meanwhile.

    One thread takes and prepares, so that what it uses need not bear two. An error of it is raised
    when its item's turn comes.

    Args:
        items: taken one by one, the next one only when this one is handed out.
        prepare: what can be done before an item's turn.
        early: whether the item behind this one may be taken before this one is done.
    """
    source = iter(items)

    def take() -> tuple[T, P] | None:
        for item in source:
            return item, prepare(item)
        return None

    with ThreadPoolExecutor(1, thread_name_prefix="lnat-ahead") as pool:
        waiting: Future[tuple[T, P] | None] = pool.submit(take)
        while (ready := waiting.result()) is not None:
            if early(ready[0]):
                waiting = pool.submit(take)
                yield ready
            else:
                yield ready
                waiting = pool.submit(take)


class Progress:
    """A bar over all that is to be scored, by whichever process.

    Args:
        total: characters of all responses.
        name: what stands before the bar.
        tokens: tokens that this process has read up to now.
        disable: whether nothing is shown.
    """

    def __init__(
        self, total: float, name: str, tokens: Callable[[], int], *, disable: bool
    ) -> None:
        self._total = total
        self._tokens = tokens
        self._before = tokens()
        self._own = 0.0
        # No total before something is read. Without smoothing the time left is by the whole run so
        # far, not by its last prompt.
        self._bar: tqdm[Any] = tqdm(
            desc=name, unit="token", unit_scale=True, smoothing=0, disable=disable
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def done(self, cost: float, behind: float) -> None:
        """One more prompt is scored.

        Args:
            cost: its characters.
            behind: those that were taken before it, by anybody.
        """
        self._own += cost
        rate = (self._tokens() - self._before) / self._own if self._own else 0.0
        self._bar.total = max(1, round(self._total * rate))
        self._bar.update(round((behind + cost) * rate) - self._bar.n)


class Work(NamedTuple):
    """One prompt to be scored.

    Args:
        prompt: rendered.
        settings: everything that decides the numbers, as JSON values.
        steps: how responses are cut.
        responses: in order.
        statistics: what is gathered beside log-probabilities.
    """

    prompt: str
    settings: Mapping[str, Any]
    steps: StepSpec
    responses: tuple[Response, ...]
    statistics: frozenset[str] = frozenset()

    @property
    def cost(self) -> int:
        """Characters of the responses."""
        return sum(len(one.text) for one in self.responses)


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
