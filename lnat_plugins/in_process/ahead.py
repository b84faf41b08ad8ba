"""Preparing the next piece of work while this one is done: tokens ahead of the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
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
