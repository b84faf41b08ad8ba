"""Several processes that score one pool together: who takes which prompt, and how they meet.

Knows nothing of models and of scores. The processes are those of `accelerate`; one process
alone needs none of this and gets everything back as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import ClassVar, NamedTuple, TypeVar, cast

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch.distributed import distributed_c10d

from lnat_plugins.errors import LnatError

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
