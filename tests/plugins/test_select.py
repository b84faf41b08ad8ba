"""Who decides, what a decision must be, and who hears of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from lnat_plugins import Candidates, Selection, choose, hookimpl, load_plugins
from lnat_plugins.errors import ConfigError, DataError, PluginWarning

from . import lab

CHOSEN = lab.chosen(1, 3)


class Decides:
    """Answers with what it is given, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    @hookimpl
    def lnat_select(self, candidates: Any, student: Any, config: Any) -> Any:
        self.asked.append((candidates, student, config))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Listens:
    """Keeps what it hears, and may fail."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.heard: list[Selection] = []

    @hookimpl
    def lnat_selected(self, selection: Selection) -> None:
        self.heard.append(selection)
        if self.failure:
            raise self.failure


def select(*objects: Any, pool: Candidates = lab.POOL, **block: Any) -> Selection:
    spec = lab.spec(**{"strategy": "best", **block})
    return load_plugins(objects=objects).select(pool, lab.Student(), spec)


def test_without_a_plugin_the_strategy_decides() -> None:
    spec = lab.spec(strategy="best")
    found = select()
    assert found.indices == (0, 2)
    assert found == choose(lab.POOL, lab.Student(), spec)


def test_a_plugin_decides_instead_with_the_same_arguments() -> None:
    decides = Decides(CHOSEN)
    assert select(decides) is CHOSEN
    ((pool, student, config),) = decides.asked
    assert pool is lab.POOL and student.name == "a student" and config.strategy.name == "best"


def test_the_last_one_is_asked_first_and_none_passes_it_on() -> None:
    first, second, third = Decides(CHOSEN), Decides(lab.chosen(0)), Decides(None)
    assert select(first, second, third).indices == (0,)
    assert (len(first.asked), len(second.asked), len(third.asked)) == (0, 1, 1)
    assert select(Decides(None)).indices == (0, 2)


def test_tryfirst_and_trylast_are_heard() -> None:
    class Early(Decides):
        @hookimpl(tryfirst=True)
        def lnat_select(self) -> Any:
            return self.answer

    assert select(Early(CHOSEN), Decides(lab.chosen(0))) is CHOSEN


class Fewer:
    @hookimpl
    def lnat_select(self, candidates: Candidates) -> Selection:
        return lab.chosen(0, pool=candidates)


def test_a_hook_may_take_fewer_arguments() -> None:
    assert select(Fewer()).indices == (0,)


OTHER = lab.Candidates(lab.ROWS[::-1])

WRONG: list[tuple[Any, str]] = [
    ("the best", "something that is no `Selection`"),
    (replace(CHOSEN, indices=(3, 1)), "a wrong selection: the chosen indices are not ascending"),
    (replace(CHOSEN, weights=(1.0, math.nan)), "a wrong selection: a weight is negative or not"),
    (replace(CHOSEN, reasons={}), "a wrong selection: not every row is either"),
    (replace(CHOSEN, indices=None), "a `Selection` whose parts cannot be read"),
    (lab.chosen(0, pool=Candidates(lab.ROWS[:2])), "a selection of 2 rows for a pool of 4"),
    (replace(CHOSEN, pool=OTHER.fingerprint), "a selection from another pool"),
    (lab.chosen(), "a selection of no row at all"),
]


@pytest.mark.parametrize(("answer", "message"), WRONG)
def test_a_wrong_answer_names_the_plugin(answer: Any, message: str) -> None:
    listens = Listens()
    with pytest.raises(ConfigError, match=rf"^Decides \(object 1\): lnat_select gave {message}"):
        select(Decides(answer), listens)
    assert listens.heard == []


def test_what_a_plugin_refuses_is_let_through() -> None:
    with pytest.raises(DataError, match="^rows.jsonl: not these") as caught:
        select(Decides(DataError("not these", where="rows.jsonl")))
    assert caught.value.__cause__ is None


def test_a_failure_of_a_decider_ends_the_run_and_names_it() -> None:
    failure = KeyError("x")
    with pytest.raises(
        ConfigError, match=r"^Decides \(object 1\): lnat_select failed: KeyError"
    ) as e:
        select(Decides(failure))
    assert e.value.__cause__ is failure


def test_a_failure_of_a_strategy_names_its_own_plugin() -> None:
    broken = lab.Registers(strategy=lab.strategy(choose=lambda candidates: 1 / 0))
    plugins = load_plugins(objects=[broken])
    spec = replace(lab.spec(strategy="best"), strategy=plugins.registry.strategies["first"])
    with pytest.raises(ConfigError, match=r"^Registers \(object 1\): strategy first failed: Zero"):
        plugins.select(lab.POOL, lab.Student(), spec)


def test_everybody_hears_of_the_choice() -> None:
    first, second = Listens(), Listens()
    found = select(first, second)
    assert first.heard == second.heard == [found]


def test_a_listener_that_fails_is_named_and_the_others_still_run() -> None:
    first, second, third = Listens(), Listens(RuntimeError("no network")), Listens()
    with pytest.warns(PluginWarning) as caught:
        found = select(first, second, third)
    (warning,) = caught
    assert str(warning.message) == (
        "Listens (object 2): lnat_selected failed: RuntimeError: no network"
    )
    assert warning.filename == __file__
    assert first.heard == second.heard == third.heard == [found]
