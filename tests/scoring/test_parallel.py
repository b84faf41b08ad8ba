"""The loop over prompts: shared, prefetched, with errors raised in every process."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.scoring.parallel import Processes, Taken, groups_of, prefetch, score_prompts
from lnat_plugins.scoring.progress import TokenBar
from tests.helpers_ranks import launch
from tests.scoring.rank import Idle


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
    assert [one["loop_failed"] for one in results] == ["row 2 is bad."] * 2


def test_an_error_that_is_not_ours_reaches_the_others_too(results: list[dict[str, Any]]) -> None:
    """As it is where it happened, with its class and text elsewhere; none waits for another."""

    def told(rank: int, text: str) -> str:
        said = f"process {rank} of 2 failed: ForeignError: {text}. "
        return f"{said}What that process printed says where."

    own, lost = "ForeignError: the device is lost", "the device is lost"
    assert [one["once_broke"] for one in results] == [own, told(0, lost)]
    assert [one["together_broke"] for one in results] == [told(1, lost), own]
    assert [one["both_broke"] for one in results] == ["rows: no such row.", own]
    assert [one["share_broke"] for one in results] == [told(1, lost), own]
    first, second = results[0]["loop_broke"]
    assert results[1]["loop_broke"] == [first, second]
    rank = [first, second].index("ForeignError: row 2 is bad")  # whichever took the row
    assert [second, first][rank] == told(rank, "row 2 is bad")


def test_a_process_that_cannot_gather_either_raises_what_it_failed_of() -> None:
    class Lost(Processes):
        def gather(self, value: Any) -> list[Any]:
            raise OSError("nothing can be gathered")

    with pytest.raises(ZeroDivisionError):
        Lost().together(lambda: 1 // 0)
    with pytest.raises(OSError, match="gathered"):
        Lost().together(int)


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


def test_each_does_its_share_and_all_get_everything_in_order(results: list[dict[str, Any]]) -> None:
    assert [one["share"] for one in results] == [["a0", "b1", "c0", "d1", "e0"]] * 2
    assert [one["share_failed"] for one in results] == ["rows: no such row."] * 2


def test_one_works_by_itself_where_it_has_to(results: list[dict[str, Any]]) -> None:
    assert [one["alone"] for one in results] == [[0], [1]]


def test_one_process_alone_takes_the_items_in_order() -> None:
    alone = Processes()
    assert list(alone.take([1, 3, 2, 3])) == [
        ((0,), 0, True), ((1,), 1, True), ((2,), 4, True), ((3,), 6, False),
    ]  # fmt: skip
    assert alone.gather("it") == ["it"]
    assert alone.share([3, 1], lambda own: [2 * one for one in own]) == [6, 2]
    assert alone.once(lambda: 5) == alone.together(lambda: 5) == 5


# The loop in one process.


def bar_of(costs: Sequence[int], reader: Any) -> TokenBar:
    return TokenBar(sum(costs), reader, shown=False, announce=print)


@pytest.mark.parametrize("step", ["together", "once"])
def test_an_error_of_one_process_alone_is_raised_as_it_is(step: str) -> None:
    with pytest.raises(ZeroDivisionError, match="by zero"):
        getattr(Processes(), step)(lambda: 1 // 0)


def test_the_bar_is_told_of_every_prompt_in_turn() -> None:
    seen: list[Any] = []

    class Bar(TokenBar):
        def begin(self, before: int, own: int) -> None:
            seen.append((before, own))

        def end(self) -> None:
            seen.append("end")

    costs = [250, 0, 500]
    found = score_prompts(
        costs, lambda _: None, lambda i, _: i, Bar(750, Idle(), shown=False, announce=print),
        Processes(),
    )  # fmt: skip
    assert found == {0: 0, 1: 1, 2: 2}
    assert seen == [(0, 250), "end", (250, 0), "end", (250, 500), "end"]


def test_the_bar_is_told_what_others_took() -> None:
    class OneOfTwo(Processes):
        def take(
            self, costs: Sequence[int], groups: Sequence[int] | None = None
        ) -> Generator[Taken, None, None]:
            yield Taken((0,), 600, False)

    seen = []

    class Bar(TokenBar):
        def begin(self, before: int, own: int) -> None:
            seen.append((before, own))

    bar = Bar(1000, Idle(), shown=False, announce=print)
    score_prompts([100, 900], lambda _: None, lambda i, _: i, bar, OneOfTwo())
    assert seen == [(600, 100)]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([9], [0]),
        ([3, 3, 4], [0, 0, 0]),
        ([3, 3, 5], [0, 0, 1]),
        ([11, 3, 3], [0, 1, 1]),
        ([3, 11, 3], [0, 1, 2]),
        ([0, 0, 10, 0, 1], [0, 0, 0, 0, 1]),
    ],
)
def test_prompts_of_together_so_many_tokens_are_a_group(
    sizes: list[int], expected: list[int]
) -> None:
    assert groups_of(sizes, 10) == expected


def test_a_group_has_so_many_prompts_at_most() -> None:
    groups = groups_of([1] * 300, 10_000)
    assert [groups.count(i) for i in range(3)] == [128, 128, 44]


def test_without_a_size_every_prompt_is_alone() -> None:
    assert groups_of([3, 1, 2], 0) == [0, 1, 2]


def test_a_group_is_read_before_its_prompts_are_scored() -> None:
    seen: list[Any] = []

    class Bar(TokenBar):
        def begin(self, before: int, own: int) -> None:
            seen.append((before, own))

    @contextmanager
    def reading(ready: Sequence[str]) -> Iterator[None]:
        seen.append([*ready])
        yield
        seen.append("read")

    found = score_prompts(
        [5, 6, 20, 1], lambda i: f"ready {i}", lambda i, ready: seen.append(ready) or i,
        Bar(32, Idle(), shown=False, announce=print), Processes(),
        groups=[0, 0, 1, 2], reading=reading,
    )  # fmt: skip
    assert found == {i: i for i in range(4)}
    assert seen == [
        (0, 11), ["ready 0", "ready 1"], "ready 0", "ready 1", "read",
        (11, 20), ["ready 2"], "ready 2", "read",
        (31, 1), ["ready 3"], "ready 3", "read",
    ]  # fmt: skip


def test_nothing_to_read_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    none = bar_of([], Idle())
    assert score_prompts([], str, lambda i, _: i, none, Processes()) == {}
    kept = TokenBar(0, Idle(), shown=True, announce=print)
    assert score_prompts([0], str, lambda i, ready: (i, ready), kept, Processes()) == {0: (0, "0")}
    assert capsys.readouterr() == ("", "")


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
            bar_of([1] * 9, Idle()),
            Processes(),
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
