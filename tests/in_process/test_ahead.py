"""The next item is prepared while the last one is worked on, by one thread, in order."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lnat_plugins.scoring.parallel import ahead


def test_in_order_and_one_ahead() -> None:
    prepared: list[int] = []
    next_is_there = threading.Event()

    def prepare(item: int) -> int:
        prepared.append(item)
        if item == 1:
            next_is_there.set()
        return item * item

    found = []
    for item, value in ahead(range(5), prepare):
        if item == 0:
            assert next_is_there.wait(10)
        found.append((item, value))
    assert found == [(0, 0), (1, 1), (2, 4), (3, 9), (4, 16)]
    assert prepared == [0, 1, 2, 3, 4]


def test_one_thread_that_is_not_this_one() -> None:
    threads = {name for _, name in ahead(range(9), lambda _: threading.current_thread().name)}
    assert len(threads) == 1
    assert threading.current_thread().name not in threads


def test_an_error_comes_when_its_turn_does() -> None:
    found = ahead([2, 1, 0, 3], lambda n: 6 // n)
    assert [next(found), next(found)] == [(2, 3), (1, 6)]
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_nothing_is_nothing() -> None:
    assert list(ahead([], str)) == []


def test_stopping_early_ends_the_thread() -> None:
    before = threading.active_count()
    for item, _ in ahead(range(1000), str):
        if item == 1:
            break
    assert threading.active_count() <= before + 1


def test_the_next_is_taken_only_when_this_one_is_handed_out_and_early_allows_it() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(3):
            taken.append(item)
            yield item

    prepared = threading.Event()

    def prepare(item: int) -> str:
        if item == 2:
            prepared.set()
        return str(item)

    found = ahead(items(), prepare, early=lambda item: item == 1)
    assert next(found) == (0, "0")
    assert taken == [0]
    assert next(found) == (1, "1")
    assert prepared.wait(10) and taken == [0, 1, 2]
    assert next(found) == (2, "2")
    assert list(found) == []
