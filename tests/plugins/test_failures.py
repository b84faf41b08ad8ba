"""Whatever a plugin raises, but what the user raises, is one error that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import Loader, hookimpl
from lnat_plugins.errors import ConfigError, PluginWarning
from lnat_plugins.plugins import load_plugins
from lnat_plugins.scoring.record import ScoredResponse
from lnat_plugins.teacher_set.loaders import read_file
from tests.helpers_samples import record_of

from . import lab


class Quits(BaseException):
    """As asyncio's `CancelledError`: no `Exception`."""


class Hooks:
    """Implements both hooks around a choice by one function."""

    def __init__(self, function: Callable[..., Any], hook: str) -> None:
        self.functions = {hook: function}

    @hookimpl
    def lnat_select(self) -> Any:
        return self.functions.get("lnat_select", lambda: None)()

    @hookimpl
    def lnat_selected(self) -> None:
        self.functions.get("lnat_selected", lambda: None)()


class Unsayable(BaseException):
    """Fails to say what it is."""

    def __str__(self) -> str:
        raise ValueError


def raises(failure: BaseException) -> Callable[..., Any]:
    def call(*arguments: object) -> Any:
        raise failure

    return call


def deep(*arguments: object) -> Any:
    return deep(*arguments)


def late(*arguments: object) -> Iterator[Any]:
    """Fails when its values are taken."""
    yield from ()
    raise SystemExit("late")


FAILURES = {
    "exit 0": raises(SystemExit(0)),
    "exit": raises(SystemExit()),
    "a BaseException": raises(Quits("x\ny")),
    "one without a text": raises(Unsayable()),
    "recursion": deep,
    "a generator": late,
}


def cut(function: Callable[..., Any], folder: Path) -> None:
    one = lab.Registers(splitter=lab.splitter(split=function))
    load_plugins(objects=[one]).registry.splitters["whole"].cut("abc")


def rate(function: Callable[..., Any], folder: Path) -> None:
    one = lab.Registers(metric=lab.metric(scope="prompt", compute=function))
    rows = [ScoredResponse(row, record_of(row.teacher, -1.0)) for row in lab.ROWS]
    load_plugins(objects=[one]).registry.metrics["longer"].rate(rows, "4")


def read(function: Callable[..., Any], folder: Path) -> None:
    (folder / "a.x").touch()
    one = lab.Registers(loader=Loader("mine", (".x",), function))
    loader = load_plugins(objects=[one]).registry.loaders["mine"]
    list(read_file(folder / "a.x", "a.x", loader))


def choose(function: Callable[..., Any], folder: Path) -> None:
    one = lab.Registers(strategy=lab.strategy(choose=function))
    plugins = load_plugins(objects=[one])
    spec = replace(lab.spec(strategy="best"), strategy=plugins.registry.strategies["first"])
    plugins.select(lab.POOL, lab.Student(), spec)


def decide(function: Callable[..., Any], folder: Path) -> None:
    plugins = load_plugins(objects=[Hooks(function, "lnat_select")])
    plugins.select(lab.POOL, lab.Student(), lab.spec(strategy="best"))


WORK = [cut, rate, read, choose, decide]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("work", WORK)
def test_a_failure_at_work_is_an_error_that_names_the_plugin(
    work: Callable[..., None], failure: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"\(object 1\)") as caught:
        work(FAILURES[failure], tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("work", WORK)
def test_the_user_may_end_the_work(work: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        work(raises(KeyboardInterrupt()), tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "raise SystemExit(0)\n",
        "import sys\nsys.exit()\n",
        "class Quits(BaseException): ...\nraise Quits('x\\ny')\n",
        "def deep(): deep()\ndeep()\n",
        "@hookimpl\ndef lnat_register(registry): raise SystemExit\n",
    ],
)
def test_a_failure_while_it_is_loaded_is_an_error(text: str, tmp_path: Path) -> None:
    lab.write(tmp_path / "mine.py", text)
    with pytest.raises(ConfigError, match=r"^mine.py .*: the plugin cannot be loaded: ") as caught:
        load_plugins(["mine.py"], base_dir=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("failure", ["exit 0", "a BaseException", "recursion"])
def test_a_failure_of_an_observer_is_a_warning(failure: str) -> None:
    plugins = load_plugins(objects=[Hooks(FAILURES[failure], "lnat_selected")])
    with pytest.warns(PluginWarning, match="lnat_selected failed: ") as caught:
        plugins.select(lab.POOL, lab.Student(), lab.spec(strategy="best"))
    assert "\n" not in str(caught[0].message)
