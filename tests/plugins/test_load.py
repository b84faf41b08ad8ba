"""Plugins with a fault: those that the user named stop the run, merely installed ones do not.

Who decides, what a decision must be, and which observers are called.

LNAT_TRACE_PLUGINS=1 shows every hook call, and never all candidates.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lnat_plugins import Selection, hookimpl
from lnat_plugins.errors import ConfigError, DataError, PluginWarning
from lnat_plugins.plugins import load_plugins
from lnat_plugins.selection import choose
from lnat_plugins.teacher_set import Candidate, Candidates, Response
from lnat_plugins.teacher_set.degenerate import degenerate_kinds

from . import lab

MISSPELT = "@hookimpl\ndef lnat_selekt(candidates): pass\n"
WRONG_ARGUMENT = "@hookimpl\ndef lnat_select(candidates, studnt): pass\n"
UNMARKED = (
    "def lnat_select(candidates, student): pass\n@hookimpl\ndef lnat_register(registry): pass\n"
)
NO_HOOK = "def lnat_register_all(registry): pass\n"
WRAPPER = "@hookimpl(wrapper=True)\ndef lnat_select(candidates): return (yield)\n"
RAISES = "@hookimpl\ndef lnat_register(registry): registry.add_everything()\n"
HALF_WAY = (
    "from tests.plugins import lab\n@hookimpl\ndef lnat_register(registry):\n"
    "    registry.add_metric(lab.metric())\n    registry.add_metric('another')\n"
)

REFUSES = (
    "from lnat_plugins.errors import DataError\n@hookimpl\ndef lnat_register(registry):\n"
    "    raise DataError('there is no such disk')\n"
)

FAULTS = [
    (MISSPELT, "there is no such hook .*'lnat_selekt'.*Did you mean 'lnat_select'"),
    (
        WRONG_ARGUMENT,
        r"lnat_select is not implemented .*studnt.*lnat_select\(candidates: Candidates, ",
    ),
    (UNMARKED, "lnat_select is not marked as a hook"),
    (NO_HOOK, "this implements no hook. Mark functions named lnat_register, lnat_select"),
    (WRAPPER, "lnat_select is a wrapper"),
    (RAISES, "cannot be loaded: AttributeError: .*add_everything"),
    (HALF_WAY, "add_metric takes a `Metric` .*'another'"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_a_named_plugin_with_a_fault_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    lab.write(tmp_path / "mine.py", text)
    with pytest.raises(ConfigError, match=rf"^mine.py \(file .*mine.py\).*: .*{message}") as caught:
        load_plugins(["mine.py"], base_dir=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *FAULTS,
        ("import lnat_gone\n", "ModuleNotFoundError"),
        (REFUSES, "there is no such disk"),
    ],
)
def test_an_installed_plugin_with_a_fault_is_not_loaded_at_all(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = f"faulty-{abs(hash(text))}"  # modules stay imported
    lab.write_package(tmp_path, package, text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(PluginWarning, match=message) as caught:
        plugins = load_plugins(objects=[lab.Registers(splitter=lab.splitter())])
    (warning,) = caught
    named = f"a plugin is not loaded: mine (entry point of {package} 1.0)"
    assert str(warning.message).startswith((f"{named}: ", f"{named}, {tmp_path}"))
    assert warning.filename == __file__
    broken, given = plugins.loaded[1:]
    assert str(warning.message).endswith(broken.error) and broken.error
    assert broken.registers == {} and broken.implements == ()
    assert given.error == "" and "whole" in plugins.registry.splitters
    assert "longer" not in plugins.registry.metrics  # nothing of it, if it fails half way
    assert plugins.select(lab.POOL, lab.Student(), lab_spec()).indices == (0, 2)


def lab_spec() -> Any:
    with pytest.warns(PluginWarning):  # the faulty package is still there
        return lab.spec(strategy="best")


def test_a_clash_stops_the_run_even_between_installed_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name would be ambiguous."""
    text = "from tests.plugins import lab\n@hookimpl\ndef lnat_register(registry):\n"
    for name in ("one-clash", "two-clash"):
        lab.write_package(tmp_path, name, text + "    registry.add_metric(lab.metric())\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="register the metric 'longer'") as caught:
        load_plugins()
    assert ("mine (entry point of one-clash 1.0) and mine (entry point of two-clash 1.0)") in str(
        caught.value
    )


def test_a_built_in_name_cannot_be_taken() -> None:
    entries = {
        "splitter": lab.splitter(name="sentence"),
        "metric": lab.metric(name="local_naturalness"),
        "strategy": lab.strategy(name="best"),
        "loader": lab.loader(name="jsonl"),
    }
    for kind, entry in entries.items():
        with pytest.raises(
            ConfigError, match=r"lnat_plugins\.hooks\.\w+ \(built in\) and Registers"
        ):
            load_plugins(objects=[lab.Registers(**{kind: entry})])


class Selects:
    @hookimpl
    def lnat_selected(self, selection: Any) -> None: ...


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Selects, "this is a class. Give an object of it"),
        (object(), "this implements no hook"),
        (None, "this implements no hook"),
        ("mine.py", "this implements no hook"),
    ],
)
def test_an_object_that_is_no_plugin_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"\(object 1\): {message}"):
        load_plugins(objects=[given])


def test_a_kept_registry_changes_nothing_for_others() -> None:
    kept: list[Any] = []

    class Keeps:
        @hookimpl
        def lnat_register(self, registry: Any) -> None:
            kept.append(registry)

    plugins = load_plugins(objects=[Keeps()])
    kept[0].add_metric(lab.metric())
    assert "longer" not in plugins.registry.metrics


CHOSEN = lab.chosen(1, 3)
DECIDED = replace(CHOSEN, degenerate={"R1": {"answer only": 2}})  # which a plugin need not count


class Decides:
    """Answers with what it is given, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: list[tuple[Any, ...]] = []

    @hookimpl
    def lnat_select(self, candidates: Any, student: Any, config: Any) -> Any:
        self.calls.append((candidates, student, config))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Observes:
    """Keeps the selections it gets, and may fail."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.received: list[Selection] = []

    @hookimpl
    def lnat_selected(self, selection: Selection) -> None:
        self.received.append(selection)
        if self.failure:
            raise self.failure


def select(*objects: Any, candidates: Candidates = lab.POOL, **block: Any) -> Selection:
    spec = lab.spec(**{"strategy": "best", **block})
    return load_plugins(objects=objects).select(candidates, lab.Student(), spec)


def test_without_a_plugin_the_strategy_decides() -> None:
    spec = lab.spec(strategy="best")
    found = select()
    assert found.indices == (0, 2)
    chosen = choose(lab.POOL, lab.Student(), spec)
    assert found == replace(chosen, degenerate={"QwQ": {"answer only": 1}})


def test_a_plugin_decides_instead_with_the_same_arguments() -> None:
    decides = Decides(CHOSEN)
    assert select(decides) == DECIDED
    ((candidates, student, config),) = decides.calls
    assert candidates is lab.POOL and student.name == "a student" and config.strategy.name == "best"


REPLIES = {
    "A": "First, three and four are added. That makes seven in all, so the answer is 7.",
    "B": "7. Because three and four, when they are added to each other, give seven.",
    "C": "again and again " * 60,
    "D": "7",
}


def test_degenerate_rows_are_counted_among_the_chosen_alone() -> None:
    """By their prompts too; kinds and teachers without one have no entry."""
    asked = ({"role": "user", "content": "What is 3 + 4?"},)
    replies = (Response(name, text) for name, text in REPLIES.items())
    pool = Candidates(tuple(Candidate(i, f"p{i}", asked, one) for i, one in enumerate(replies)))
    observes = Observes()
    found = select(Decides(lab.chosen(0, 2, pool=pool)), observes, candidates=pool)
    assert found.degenerate == {"C": {"loop": 1}}
    assert observes.received == [found]
    every = select(Decides(lab.chosen(0, 1, 2, 3, pool=pool)), candidates=pool).degenerate
    assert every == {
        teacher: dict.fromkeys(kinds, 1)
        for teacher, text in REPLIES.items()
        if (kinds := degenerate_kinds(text, {}, "What is 3 + 4?"))
    }
    assert set(every) >= {"C", "D"} and "A" not in every


def test_a_finish_reason_of_the_row_counts() -> None:
    cut = Response("A", REPLIES["A"], extra={"finish_reason": "length"})
    messages = ({"role": "user", "content": "What?"},)
    pool = Candidates((Candidate(0, "p0", messages, cut),))
    assert select(Decides(lab.chosen(0, pool=pool)), candidates=pool).degenerate == {
        "A": {"cut off": 1}
    }


def test_the_last_one_is_called_first_and_none_passes_it_on() -> None:
    first, second, third = Decides(CHOSEN), Decides(lab.chosen(0)), Decides(None)
    assert select(first, second, third).indices == (0,)
    assert (len(first.calls), len(second.calls), len(third.calls)) == (0, 1, 1)
    assert select(Decides(None)).indices == (0, 2)


def test_tryfirst_and_trylast_are_obeyed() -> None:
    class Early(Decides):
        @hookimpl(tryfirst=True)
        def lnat_select(self) -> Any:
            return self.answer

    assert select(Early(CHOSEN), Decides(lab.chosen(0))) == DECIDED


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
    (replace(CHOSEN, scores=("a", 0.0, 0.0, 0.0)), "a `Selection` whose parts cannot be read"),
    (replace(CHOSEN, weights=(1e300, 1.0)), "a wrong selection: a score or a weight is beyond"),
    (replace(CHOSEN, scores=(-math.inf, *CHOSEN.scores[1:])), "a wrong selection: a score or a"),
    (replace(CHOSEN, reasons=dict.fromkeys(CHOSEN.reasons, 1.5)), "a wrong selection: a reason is"),
    (replace(CHOSEN, reasons=dict.fromkeys(CHOSEN.reasons, "")), "a wrong selection: a reason is"),
    (replace(CHOSEN, ties=True), "a `Selection`: ties: this must be a whole number"),
    (replace(CHOSEN, strategy=3), "a `Selection`: strategy: this must be text"),
    (replace(CHOSEN, window=4), "a `Selection`: window: this must be text"),
    (replace(CHOSEN, settings=[1]), "a `Selection`: settings: this must be a mapping"),
    (replace(CHOSEN, ties=10**5000), "a `Selection`: a part cannot be written: "),
    (replace(CHOSEN, student="\ud83d"), "a `Selection`: a part cannot be written: "),
    (replace(CHOSEN, teachers=("x",) * 4), "a selection with other teachers or prompts than"),
    (replace(CHOSEN, prompts=("x",) * 4), "a selection with other teachers or prompts than"),
    (lab.chosen(0, pool=Candidates(lab.ROWS[:2])), "a selection of 2 rows for a pool of 4"),
    (replace(CHOSEN, pool=OTHER.fingerprint), "a selection from another pool"),
    (lab.chosen(), "a selection of no row at all"),
]


@pytest.mark.parametrize(("answer", "message"), WRONG)
def test_a_wrong_answer_names_the_plugin(answer: Any, message: str) -> None:
    observes = Observes()
    with pytest.raises(ConfigError, match=rf"^Decides \(object 1\): lnat_select gave {message}"):
        select(Decides(answer), observes)
    assert observes.received == []


def test_numbers_of_another_library_are_read_as_pythons_own() -> None:
    given = replace(
        CHOSEN, indices=tuple(np.array(CHOSEN.indices)), weights=(np.float32(0.5), 1),
        scores=tuple(np.zeros(4)), ties=np.int64(2),
    )  # fmt: skip
    found = select(Decides(given))
    assert (found.indices, found.weights, found.ties) == (CHOSEN.indices, (0.5, 1.0), 2)
    assert {*map(type, (*found.indices, found.ties))} == {int}
    assert {*map(type, (*found.weights, *found.scores))} == {float}
    assert Selection.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_what_a_plugin_refuses_is_let_through() -> None:
    with pytest.raises(DataError, match="^rows.jsonl: not these") as caught:
        select(Decides(DataError("not these", where="rows.jsonl")))
    assert caught.value.__cause__ is None


def test_a_failure_of_a_decider_ends_the_run_and_names_it() -> None:
    failure = KeyError("x")
    with pytest.raises(
        ConfigError, match=r"^Decides \(object 1\), .*\.py line \d+: lnat_select failed: KeyError"
    ) as e:
        select(Decides(failure))
    assert e.value.__cause__ is failure


def test_a_failure_of_a_strategy_names_its_own_plugin() -> None:
    broken = lab.Registers(strategy=lab.strategy(choose=lambda candidates: 1 / 0))
    plugins = load_plugins(objects=[broken])
    spec = replace(lab.spec(strategy="best"), strategy=plugins.registry.strategies["first"])
    with pytest.raises(
        ConfigError, match=r"^Registers \(object 1\), .* line \d+: strategy first failed: Z"
    ):
        plugins.select(lab.POOL, lab.Student(), spec)


def test_every_observer_gets_the_choice() -> None:
    first, second = Observes(), Observes()
    found = select(first, second)
    assert first.received == second.received == [found]


def test_an_observer_that_fails_is_named_and_the_others_still_run() -> None:
    first, second, third = Observes(), Observes(RuntimeError("no network")), Observes()
    with pytest.warns(PluginWarning) as caught:
        found = select(first, second, third)
    (warning,) = caught
    where, _, problem = str(warning.message).partition(": ")
    assert where.startswith(f"Observes (object 2), {__file__} line ")
    assert problem == "lnat_selected failed: RuntimeError: no network"
    assert warning.filename == __file__
    assert first.received == second.received == third.received == [found]


class Both:
    """Passes the decision on, and fails as an observer."""

    @hookimpl
    def lnat_select(self) -> None: ...

    @hookimpl
    def lnat_selected(self) -> None:
        raise RuntimeError("no network")


def trace(capsys: pytest.CaptureFixture[str], *objects: Any) -> list[str]:
    spec = lab.spec(strategy="best")
    capsys.readouterr()
    load_plugins(objects=objects).select(lab.POOL, lab.Student(), spec)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_every_call_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LNAT_TRACE_PLUGINS", "1")
    with pytest.warns(PluginWarning):
        lines = trace(capsys, Both())
    built_in = "lnat_plugins.hooks.builtin (built in)"
    given = "candidates=<Candidates>, student=<Student>, config=<SelectionSpec>"
    assert [line.removeprefix("lnat: trace: ") for line in lines] == [
        f"{built_in}: lnat_register(registry=<Registry>)",
        f"{built_in}: lnat_register -> None",
        f"Both (object 1): lnat_select({given})",
        "Both (object 1): lnat_select -> None",
        f"{built_in}: lnat_select({given})",
        f"{built_in}: lnat_select -> <Selection>",
        "Both (object 1): lnat_selected(selection=<Selection>)",
        "Both (object 1): lnat_selected -> raised RuntimeError: 'no network'",
    ]


@pytest.mark.parametrize("value", [None, "", "0"])
def test_nothing_is_printed_by_default(
    value: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LNAT_TRACE_PLUGINS", raising=False)
    if value is not None:
        monkeypatch.setenv("LNAT_TRACE_PLUGINS", value)
    assert trace(capsys) == []


def test_a_call_that_ends_the_run_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LNAT_TRACE_PLUGINS", "1")
    with pytest.raises(ConfigError):
        load_plugins(objects=[lab.Registers(metric=3)])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("lnat: trace: Registers (object 1): lnat_register -> raised ConfigError")
