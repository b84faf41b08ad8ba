"""The loop over prompts: shared, prefetched, with errors raised in every process."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.scoring.parallel import Processes, Progress, ahead
from tests.helpers_ranks import launch


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


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    launch("tests.in_process.rank", [str(folder)], folder, repo)
    return [json.loads((folder / f"told{rank}.json").read_text()) for rank in range(2)]


def test_every_item_is_taken_once(told: list[dict[str, Any]]) -> None:
    assert sorted(told[0]["taken"] + told[1]["taken"]) == list(range(8))
    assert told[0]["gathered"] == told[1]["gathered"] == [told[0]["taken"], told[1]["taken"]]


def test_the_dearest_come_first(told: list[dict[str, Any]]) -> None:
    assert {told[0]["taken"][0], told[1]["taken"][0]} <= {1, 3, 2}


def test_the_faster_one_takes_more(told: list[dict[str, Any]]) -> None:
    assert len(told[0]["taken"]) > len(told[1]["taken"])


def test_an_error_of_the_first_is_raised_in_all(told: list[dict[str, Any]]) -> None:
    assert [one["heard"] for one in told] == ["rows: no such row."] * 2


def test_what_the_first_did_is_known_to_all(told: list[dict[str, Any]]) -> None:
    assert [one["once"] for one in told] == ["from 0"] * 2
    assert [one["main"] for one in told] == [True, False]


def test_a_process_that_stops_ends_it_for_the_others(told: list[dict[str, Any]]) -> None:
    assert told[0]["stopped"][0] == 1
    assert told[0]["stopped"][1] < 500


def test_one_process_alone() -> None:
    alone = Processes()
    assert list(alone.take([1.0, 3.0, 2.0, 3.0])) == [
        (1, 0, True), (3, 3, True), (2, 6, True), (0, 8, False),
    ]  # fmt: skip
    assert alone.gather("it") == ["it"]
    assert alone.once(lambda: 5) == 5


def shown(text: str) -> tuple[str, str]:
    found = re.findall(r"([\d.k]+)/([\d.k]+) \[", text)
    return found[-1]


def test_tokens_read_and_all_that_are_to_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    read = [70]
    with Progress(1000, "Scoring", lambda: read[0], disable=False) as progress:
        read[0] += 500
        progress.done(250, 0)
        assert shown_after(progress, capsys) == ("500", "2.00k")
        read[0] += 400
        progress.done(250, 250)
        assert shown_after(progress, capsys) == ("900", "1.80k")


def test_what_others_took_counts(capsys: pytest.CaptureFixture[str]) -> None:
    read = [0]
    with Progress(1000, "Scoring", lambda: read[0], disable=False) as progress:
        read[0] = 200
        progress.done(100, 600)
        assert shown_after(progress, capsys) == ("1.40k", "2.00k")


def test_nothing_read_is_no_error_and_disabled_is_silent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress(10, "Scoring", lambda: 0, disable=True) as progress:
        progress.done(10, 0)
    with Progress(0, "Scoring", lambda: 0, disable=True) as progress:
        progress.done(0, 0)
    assert capsys.readouterr().err == ""


def shown_after(progress: Progress, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    progress._bar.refresh()
    return shown(capsys.readouterr().err)
