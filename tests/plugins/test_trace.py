"""LNAT_TRACE_PLUGINS=1 shows every hook call, and never a whole pool."""

from __future__ import annotations

from typing import Any

import pytest

from lnat_plugins import Candidates, hookimpl, load_plugins
from lnat_plugins.errors import ConfigError, PluginWarning
from lnat_plugins.plugins.load import brief

from . import lab


class Both:
    """Passes the decision on, and fails to listen."""

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
    head = "lnat: trace: lnat_plugins.hooks."
    assert lines[0] == f"{head}splitters (built in): lnat_register(registry=<Registry>)"
    assert lines[1] == f"{head}splitters (built in): lnat_register -> None"
    calls = [line.removeprefix("lnat: trace: ") for line in lines[8:]]
    given = "(candidates=Candidates(rows=<tuple of 4>, plain=False), student=<Student>, config=Selection"
    assert calls[0].startswith(f"Both (object 1): lnat_select{given}")
    assert calls[1] == "Both (object 1): lnat_select -> None"
    assert calls[2].startswith(f"lnat_plugins.hooks.select (built in): lnat_select{given}")
    assert "-> Selection(indices=<tuple of 2>, " in calls[3]
    assert calls[4].startswith("Both (object 1): lnat_selected(selection=Selection(indices=<tup")
    assert calls[5] == "Both (object 1): lnat_selected -> raised RuntimeError: 'no network'"
    assert len(calls) == 6


@pytest.mark.parametrize("value", [None, "", "0"])
def test_nothing_is_printed_unasked(
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


def test_a_large_pool_is_only_counted() -> None:
    pool = Candidates(lab.ROWS * 25_000)
    assert brief(pool) == "Candidates(rows=<tuple of 100000>, plain=False)"
    assert len(brief(lab.chosen(*range(100_000), pool=pool))) <= 300


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (3.5, "3.5"),
        ("text", "'text'"),
        ({"a": 1}, "<dict of 1>"),
        (object(), "<object>"),
        (Candidates, "<type>"),
    ],
)
def test_a_value_in_a_few_words(value: Any, text: str) -> None:
    assert brief(value) == text
    assert len(brief("x" * 10_000)) < 100
