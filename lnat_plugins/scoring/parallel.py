"""The loop over prompts: shared between processes, prefetched, with a progress bar.

Short prompts are read in groups, so that the student has enough to do. The processes are those of
`accelerate`. Each takes the longest group that is left whenever it is free, so a slow process
delays the others by one group at most. An error of one process is raised in all of them, one that
is not ours as an LnatError with its type and text: none is left waiting.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from typing import ClassVar, Final, NamedTuple, TypeVar, cast

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch.distributed import distributed_c10d

from lnat_plugins.errors import LnatError, class_and_text
from lnat_plugins.scoring.progress import TokenBar

T = TypeVar("T")
P = TypeVar("P")


def score_prompts(
    costs: Sequence[int],
    prepare: Callable[[int], P],
    score: Callable[[int, P], T],
    bar: TokenBar,
    processes: Processes,
    *,
    groups: Sequence[Hashable] | None = None,
    reading: Callable[[Sequence[P]], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> dict[int, T]:
    """Index of each prompt -> its scores; every process calls this alike and gets all of them.

    Args:
        costs: tokens to be read for each prompt.
        prepare: what needs no student (steps, tokens) for the prompt of that index; called in
            another thread while the student scores the prompts before.
        score: the scores of the prompt of that index, from what `prepare` returned.
        bar: over all these tokens.
        processes: those that share the prompts.
        groups: see `Processes.take`.
        reading: entered while the prompts of a group are scored, with what `prepare` returned.

    Raises:
        LnatError: of any process, in every process.
        Exception: any other that was raised in this process.
    """

    def score_share() -> dict[int, T]:
        found: dict[int, T] = {}
        with bar, closing(processes.take(costs, groups)) as taken:
            prepared = prefetch(
                taken, lambda one: [prepare(i) for i in one.items], lambda one: one.has_more
            )
            for (items, cost_before, _), ready in prepared:
                bar.begin(cost_before, sum(costs[i] for i in items))
                with reading(ready):
                    for i, one in zip(items, ready, strict=True):
                        found[i] = score(i, one)
                bar.end()
        return found

    parts = processes.gather(processes.together(score_share))
    return {i: found for part in parts for i, found in part.items()}


MOST_TOGETHER: Final = 128
"""Prompts of a group: for each a distribution over the vocabulary is kept while it is read."""


def groups_of(sizes: Sequence[int], at_once: int) -> list[int]:
    """The group of each prompt, by which prompts next to each other are read together.

    Args:
        sizes: of each prompt, about as many tokens as are read for it.
        at_once: of a group; a larger prompt is one by itself.
    """
    groups: list[int] = []
    room = members = 0
    for size in sizes:
        if groups and size <= room and members < MOST_TOGETHER:
            groups.append(groups[-1])
            room, members = room - size, members + 1
        else:
            groups.append(groups[-1] + 1 if groups else 0)
            room, members = at_once - size, 1
    return groups


class Taken(NamedTuple):
    """Items of a common list that this process took.

    Args:
        items: their indices.
        cost_before: of the items taken before them, by any process.
        has_more: whether so many are left that some may be taken before these are done.
    """

    items: tuple[int, ...]
    cost_before: int
    has_more: bool = True


class Processes:
    """The processes of this run; every method is called by all of them alike.

    Args:
        alone: whether this process works by itself, whatever others there are.
    """

    _queues: ClassVar[Iterator[int]] = itertools.count()

    def __init__(self, *, alone: bool = False) -> None:
        state = PartialState()
        self.count: int = 1 if alone else state.num_processes
        self.rank: int = 0 if alone else state.process_index
        self.main: bool = state.process_index == 0
        """Whether this is the first process, which prints and writes."""

    def take(
        self, costs: Sequence[int], groups: Sequence[Hashable] | None = None
    ) -> Generator[Taken, None, None]:
        """Items of a common list, longest first; each process takes the next when it is free.

        One process alone takes them in order. A process that stops taking because of an error
        ends it for all.

        Args:
            costs: of each item.
            groups: one for each; items next to each other of equal groups are taken together. By
                default each is taken alone.
        """
        group_of: Sequence[Hashable] = range(len(costs)) if groups is None else groups
        together = [
            tuple(own) for _, own in itertools.groupby(range(len(costs)), key=group_of.__getitem__)
        ]
        cost_of = {own: sum(costs[i] for i in own) for own in together}
        if self.count > 1:
            together.sort(key=lambda own: -cost_of[own])
        before = itertools.accumulate((cost_of[own] for own in together), initial=0)
        items = [
            Taken(own, cost_before, len(together) - number > self.count)
            for number, (own, cost_before) in enumerate(zip(together, before, strict=False))
        ]
        # Numbered now, not when the first item is taken: alike in all processes.
        queue = f"lnat/queue/{next(self._queues)}"

        def take() -> Generator[Taken, None, None]:
            store = distributed_c10d._get_default_store()
            finished = False
            try:
                while (number := store.add(queue, 1) - 1) < len(items):
                    yield items[number]
                finished = True
            finally:
                if not finished:
                    store.add(queue, len(items))

        return take() if self.count > 1 else (item for item in items)

    def share(self, items: Sequence[T], work: Callable[[Sequence[T]], Sequence[P]]) -> list[P]:
        """What `work` returns for the items, in their order; each process does its part of them.

        An error of one process is raised in all.
        """
        parts = self.gather(self.together(lambda: work(items[self.rank :: self.count])))
        return [parts[i % self.count][i // self.count] for i in range(len(items))]

    def gather(self, value: T) -> list[T]:
        """The value of every process, in order of rank."""
        if self.count == 1:
            return [value]
        found: list[T] = gather_object([value])
        return found

    def together(self, work: Callable[[], T]) -> T:
        """The result of `work` in each process; an error of one is raised in all.

        One that is no LnatError is raised as it is where it happened, as an LnatError elsewhere.
        """
        result, error = _result_and_error(work)
        try:
            errors = self.gather(self._told(error))
        except Exception:
            if error is not None:  # such as a device that failed, which cannot gather either
                raise error from None
            raise
        if error is not None and not isinstance(error, LnatError):
            raise error
        for each in errors:
            if each is not None:
                raise each
        return cast(T, result)

    def once(self, work: Callable[[], T]) -> T:
        """The result of `work` in the first process, given to all; its error is raised in all.

        One that is no LnatError is raised as it is where it happened, as an LnatError elsewhere.
        """
        result, error = _result_and_error(work) if self.main else (None, None)
        sent = [(result, self._told(error))]
        if self.count > 1:
            broadcast_object_list(sent, from_process=0)
        ((result, told),) = sent
        if told is not None:
            raise error or told
        return cast(T, result)

    def _told(self, error: Exception | None) -> LnatError | None:
        """An error as the other processes get it: there may be no class of its there."""
        if error is None or isinstance(error, LnatError):
            return error
        return LnatError(
            f"process {self.rank} of {self.count} failed: {class_and_text(error)}",
            remedy="what that process printed says where",
        )


def _result_and_error(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return work(), None
    except Exception as error:  # noqa: BLE001 - `together` and `once` raise it
        return None, error


def prefetch(
    items: Iterable[T],
    prepare: Callable[[T], P],
    may_prefetch: Callable[[T], bool] = lambda _: True,
) -> Iterator[tuple[T, P]]:
    """Each item with the result of `prepare`, in order; the next is prepared meanwhile.

    One thread takes and prepares, so that tokenizers and caches need not be thread-safe. Its error
    is raised when its item's turn comes. `may_prefetch`: whether the item after this one may be
    taken before this one is done.
    """
    source = ((item, prepare(item)) for item in items)
    with ThreadPoolExecutor(1, thread_name_prefix="lnat-prefetch") as pool:
        waiting = pool.submit(next, source, None)
        while (ready := waiting.result()) is not None:
            if ahead := may_prefetch(ready[0]):
                waiting = pool.submit(next, source, None)
            yield ready
            if not ahead:
                waiting = pool.submit(next, source, None)
