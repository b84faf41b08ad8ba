"""Preparing the next piece of work while this one is done: tokens ahead of the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
P = TypeVar("P")


def ahead(items: Iterable[T], prepare: Callable[[T], P]) -> Iterator[tuple[T, P]]:
    """Each item with what `prepare` makes of it, in order; the next one is prepared meanwhile.

    One thread prepares, so that what it uses need not bear two. An error of it is raised when its
    item's turn comes.
    """
    waiting: list[tuple[T, Future[P]]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="lnat-ahead") as pool:
        for item in items:
            waiting.append((item, pool.submit(prepare, item)))
            if len(waiting) > 1:
                known, future = waiting.pop(0)
                yield known, future.result()
        for known, future in waiting:
            yield known, future.result()
