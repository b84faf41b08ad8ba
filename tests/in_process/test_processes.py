"""Work is taken by whoever is free, and errors are heard by all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.scoring.parallel import Processes
from tests.helpers_ranks import launch


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
