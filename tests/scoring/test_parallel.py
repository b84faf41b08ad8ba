"""The loop over prompts: shared, prefetched, with errors raised in every process."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.scoring.parallel import Processes, Taken, prefetch, score_prompts
from tests.helpers_ranks import launch


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    launch("tests.scoring.rank", [str(folder)], folder, repo)
    return [json.loads((folder / f"result{rank}.json").read_text()) for rank in range(2)]


def test_every_item_is_taken_once(results: list[dict[str, Any]]) -> None:
    first, second = (one["taken"] for one in results)
    assert sorted(first + second) == list(range(8))
    assert [one["gathered"] for one in results] == [[first, second]] * 2


def test_the_longest_come_first_and_the_faster_process_takes_more(
    results: list[dict[str, Any]],
) -> None:
    first, second = (one["taken"] for one in results)
    assert {first[0], second[0]} == {1, 3}
    assert first[1:] == [2, 0, 4, 5, 6, 7]
    assert len(second) == 1


def test_an_error_of_one_is_raised_in_all(results: list[dict[str, Any]]) -> None:
    assert [one["once_failed"] for one in results] == ["rows: no such row."] * 2
    assert [one["together"] for one in results] == ["rows: no such row."] * 2
    assert [one["loop_failed"] for one in results] == ["row 2: no such row."] * 2


def test_the_result_of_the_first_is_known_to_all(results: list[dict[str, Any]]) -> None:
    assert [one["once"] for one in results] == ["from 0"] * 2
    assert [one["main"] for one in results] == [True, False]


def test_a_process_that_stops_ends_it_for_the_others(results: list[dict[str, Any]]) -> None:
    assert results[0]["stopped"][0] == 1
    assert results[0]["stopped"][1] <= 1


def test_every_process_gets_the_scores_of_all(results: list[dict[str, Any]]) -> None:
    first, second = (one["loop"] for one in results)
    assert first == second
    assert {int(i): value[:2] for i, value in first.items()} == {i: [i, 10 * i] for i in range(8)}


def test_one_works_by_itself_where_it_has_to(results: list[dict[str, Any]]) -> None:
    assert [one["alone"] for one in results] == [[0], [1]]


def test_one_process_alone_takes_the_items_in_order() -> None:
    alone = Processes()
    assert list(alone.take([1, 3, 2, 3])) == [
        (0, 0, True), (1, 1, True), (2, 4, True), (3, 6, False),
    ]  # fmt: skip
    assert alone.gather("it") == ["it"]
    assert alone.once(lambda: 5) == alone.together(lambda: 5) == 5


# The loop in one process.


class Bar:
    """Stands for tqdm's bar: what it is set to after each prompt."""

    shown: list[tuple[int, int]]

    def __init__(self, **options: Any) -> None:
        Bar.shown, self.options, self.n, self.total = [], options, 0, None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, n: int) -> None:
        self.n += n
        Bar.shown.append((self.n, self.total))  # type: ignore[arg-type]


def test_the_bar_shows_tokens_read_of_all_that_will_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lnat_plugins.scoring.parallel.tqdm", Bar)
    read = [70]

    def score(i: int, _: None) -> int:
        read[0] += [500, 400, 900][i]
        return i

    found = score_prompts(
        [250, 250, 500], lambda _: None, score, lambda: read[0], Processes(), "Scoring"
    )
    assert found == {0: 0, 1: 1, 2: 2}
    assert Bar.shown == [(500, 2000), (900, 1800), (1800, 1800)]


def test_the_bar_counts_what_others_took(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneOfTwo(Processes):
        def take(self, costs: Sequence[int]) -> Generator[Taken, None, None]:
            yield Taken(0, 600, False)

    monkeypatch.setattr("lnat_plugins.scoring.parallel.tqdm", Bar)
    read = iter([0, 200])
    score_prompts(
        [100, 900], lambda _: None, lambda i, _: i, lambda: next(read), OneOfTwo(), "Scoring"
    )
    assert Bar.shown == [(1400, 2000)]


def test_nothing_to_read_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    processes = Processes()
    processes.main = False
    assert score_prompts([], str, lambda i, _: i, lambda: 0, processes, "Scoring") == {}
    assert score_prompts(
        [0], str, lambda i, ready: (i, ready), lambda: 0, processes, "Scoring"
    ) == {0: (0, "0")}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("step", ["prepare", "score"])
def test_an_error_ends_the_loop(step: str) -> None:
    seen: list[str] = []

    def work(name: str, i: int) -> int:
        seen.append(f"{name} {i}")
        if (name, i) == (step, 1):
            raise DataError("no such row", where=f"row {i}")
        return i

    with pytest.raises(DataError, match="row 1: no such row"):
        score_prompts(
            [1] * 9,
            lambda i: work("prepare", i),
            lambda i, _: work("score", i),
            lambda: 0,
            Processes(),
            "Scoring",
        )
    assert "score 0" in seen and "score 2" not in seen


# Prefetching.


def test_in_order_and_one_ahead() -> None:
    prepared: list[int] = []
    next_is_there = threading.Event()

    def prepare(item: int) -> int:
        prepared.append(item)
        if item == 1:
            next_is_there.set()
        return item * item

    found = []
    for item, value in prefetch(range(5), prepare):
        if item == 0:
            assert next_is_there.wait(10)
        found.append((item, value))
    assert found == [(0, 0), (1, 1), (2, 4), (3, 9), (4, 16)]
    assert prepared == [0, 1, 2, 3, 4]


def test_one_thread_that_is_not_this_one() -> None:
    threads = {name for _, name in prefetch(range(9), lambda _: threading.current_thread().name)}
    assert len(threads) == 1
    assert threading.current_thread().name not in threads


def test_an_error_comes_when_its_turn_does() -> None:
    found = prefetch([2, 1, 0, 3], lambda n: 6 // n)
    assert [next(found), next(found)] == [(2, 3), (1, 6)]
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_nothing_is_nothing() -> None:
    assert list(prefetch([], str)) == []


def test_stopping_early_ends_the_thread() -> None:
    before = threading.active_count()
    for item, _ in prefetch(range(1000), str):
        if item == 1:
            break
    assert threading.active_count() <= before + 1


def test_the_next_is_taken_only_when_this_one_is_handed_out_and_may_be_prefetched() -> None:
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

    found = prefetch(items(), prepare, lambda item: item == 1)
    assert next(found) == (0, "0")
    assert taken == [0]
    assert next(found) == (1, "1")
    assert prepared.wait(10) and taken == [0, 1, 2]
    assert next(found) == (2, "2")
    assert list(found) == []
