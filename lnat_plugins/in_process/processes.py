"""Several processes that score one pool together: who takes which prompt, and how they meet.

Knows nothing of models and of scores. The processes are those of `accelerate`; one process
alone needs none of this and gets everything back as it is.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from lnat_plugins.errors import LnatError

T = TypeVar("T")


class Processes:
    """The processes of this run; every method is called by all of them alike."""

    def __init__(self) -> None:
        state = PartialState()
        self.count: int = state.num_processes
        self.rank: int = state.process_index

    @property
    def main(self) -> bool:
        """Whether this is the first process, which prints and writes."""
        return self.rank == 0

    def share(self, costs: Sequence[float]) -> list[int]:
        """The items of this process: the dearest first, each to whoever has least to do."""
        load = [(0.0, rank) for rank in range(self.count)]
        mine = []
        for item in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
            total, rank = heapq.heappop(load)
            heapq.heappush(load, (total + costs[item], rank))
            if rank == self.rank:
                mine.append(item)
        return mine

    def rounds(self, mine: Sequence[int], size: int) -> Iterator[Sequence[int]]:
        """This process's items in parts of `size`; the same number of parts in every process."""
        for begin in range(0, max(self.gather(len(mine))), size):
            yield mine[begin : begin + size]

    def gather(self, value: T) -> list[T]:
        """The value of every process, in order of rank."""
        found: list[T] = gather_object([value])
        return found

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
