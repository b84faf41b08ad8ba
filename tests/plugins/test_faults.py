"""Plugins with a fault: those that the user named stop the run, merely installed ones do not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import hookimpl, load_plugins
from lnat_plugins.errors import ConfigError, PluginWarning
from lnat_plugins.plugins.load import BUILT_IN

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
    with pytest.raises(ConfigError, match=rf"^mine.py \(file .*mine.py\): .*{message}") as caught:
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
def test_an_installed_plugin_with_a_fault_is_left_out_whole(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = f"faulty-{abs(hash(text))}"  # modules stay imported
    lab.write_package(tmp_path, package, text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(PluginWarning, match=message) as caught:
        plugins = load_plugins(objects=[lab.Registers(splitter=lab.splitter())])
    (warning,) = caught
    told = f"a plugin is left out: mine (entry point of {package} 1.0): "
    assert str(warning.message).startswith(told)
    assert warning.filename == __file__
    broken, given = plugins.loaded[len(BUILT_IN) :]
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
    """Nobody could say which one a name means."""
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


@dataclass
class Unhashable(Selects):
    number: int = 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Selects, "this is a class. Give an object of it"),
        (Unhashable(), "this object cannot be told from others: it has no hash. If it is a data"),
        (object(), "this implements no hook"),
        (None, "this implements no hook"),
        ("mine.py", "this implements no hook"),
    ],
)
def test_an_object_that_is_no_plugin_is_told(given: Any, message: str) -> None:
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
