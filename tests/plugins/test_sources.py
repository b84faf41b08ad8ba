"""Where plugins come from, in which order, and that each is loaded once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import hookimpl
from lnat_plugins.errors import ConfigError
from lnat_plugins.metrics import METRICS
from lnat_plugins.plugins import load_plugins
from lnat_plugins.plugins.sources import BUILT_IN
from lnat_plugins.selection.strategies import STRATEGIES
from lnat_plugins.steps import SPLITTERS
from lnat_plugins.teacher_set import LOADERS

from . import lab

OBSERVES = "@hookimpl\ndef lnat_selected(selection): pass\n"


def test_the_built_in_names_come_through_the_registry() -> None:
    plugins = load_plugins()
    registry = plugins.registry
    assert list(registry.splitters) == list(SPLITTERS)
    assert list(registry.metrics) == list(METRICS)
    assert list(registry.strategies) == list(STRATEGIES)
    assert list(registry.loaders) == list(LOADERS)
    (one,) = plugins.loaded
    assert (one.name, one.origin) == (BUILT_IN, "built in")
    assert one.registers["splitters"] == tuple(SPLITTERS)
    assert one.implements == ("lnat_register", "lnat_select")


def test_there_is_no_global_manager() -> None:
    with_one = load_plugins(objects=[lab.Registers(metric=lab.metric())])
    assert "longer" in with_one.registry.metrics
    assert "longer" not in load_plugins().registry.metrics


def test_the_sources_come_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for name in ("zebra-plugin", "ant-plugin"):
        lab.write_package(site, name, OBSERVES)
    lab.write(site / "lnat_test_module.py", OBSERVES)
    lab.write(tmp_path / "mine.py", OBSERVES)
    monkeypatch.syspath_prepend(site)
    loaded = load_plugins(
        ["mine.py", "lnat_test_module"],
        objects=[lab.Registers(metric=lab.metric())],
        base_dir=tmp_path,
    ).loaded[1:]
    assert [(one.name, one.origin) for one in loaded] == [
        ("mine", "entry point of ant-plugin 1.0"),
        ("mine", "entry point of zebra-plugin 1.0"),
        ("mine.py", f"file {tmp_path / 'mine.py'}"),
        ("lnat_test_module", "module"),
        ("Registers", "object 1"),
    ]
    assert loaded[-1].registers == {"metrics": ("longer",)}


def test_a_plugin_that_comes_up_twice_is_loaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    metric = "from tests.plugins import lab\n@hookimpl\ndef lnat_register(registry):\n"
    lab.write_package(site, "twice-plugin", metric + "    registry.add_metric(lab.metric())\n")
    lab.write(tmp_path / "mine.py", OBSERVES)
    monkeypatch.syspath_prepend(site)
    plugin = lab.Registers(splitter=lab.splitter())
    loaded = load_plugins(
        ["twice_plugin", "mine.py", "./mine.py"], objects=[plugin, plugin], base_dir=tmp_path
    ).loaded[1:]
    assert [one.name for one in loaded] == ["mine", "mine.py", "Registers"]


def test_a_file_starts_from_the_folder_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.write(tmp_path / "mine.py", OBSERVES)
    (tmp_path / "deep").mkdir()
    lab.write(tmp_path / "deep" / "mine.py", OBSERVES)
    monkeypatch.chdir(tmp_path)
    for given in (["mine.py"], ["deep/mine.py"], [str(tmp_path / "mine.py")]):
        assert load_plugins(given).loaded[-1].name == given[0]
    assert load_plugins(["../mine.py"], base_dir=tmp_path / "deep").loaded[-1].implements


def test_a_file_may_hold_dataclasses_and_runs_again_only_when_it_changed(tmp_path: Path) -> None:
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    file = tmp_path / "mine.py"
    file.write_text(
        text
        + "from lnat_plugins import hookimpl\n@dataclass\nclass A:\n    x: int = 1\n"
        + OBSERVES
    )
    first = load_plugins([str(file)])
    again = load_plugins([str(file)])
    assert first.manager.get_plugins() & again.manager.get_plugins()
    modules = {name for name in sys.modules if name.startswith("lnat_plugin_")}
    file.write_text(file.read_text().replace("int = 1", "int = 2"))
    load_plugins([str(file)])
    (new,) = {name for name in sys.modules if name.startswith("lnat_plugin_")} - modules
    assert sys.modules[new].A().x == 2
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_has_only_the_future_that_it_imports(tmp_path: Path) -> None:
    lab.write(
        tmp_path / "mine.py",
        OBSERVES + "def f(x: int): ...\nassert f.__annotations__['x'] is int\n",
    )
    assert load_plugins([tmp_path / "mine.py"]).loaded[-1].error == ""


def test_one_name_needs_no_list_and_an_object_is_no_name(tmp_path: Path) -> None:
    lab.write(tmp_path / "mine.py", OBSERVES)
    assert load_plugins("mine.py", base_dir=tmp_path).loaded[-1].name == "mine.py"
    with pytest.raises(ConfigError, match="here: this is no name .*Give objects as `objects`"):
        load_plugins([Quiet()], where="here")  # type: ignore[list-item]


def test_a_bare_checkout_says_what_is_missing(tmp_path: Path, repo: Path) -> None:
    (tmp_path / "lnat_plugins").symlink_to(repo / "lnat_plugins")
    code = (
        "import sys; sys.meta_path = [m for m in sys.meta_path if 'ditable' not in repr(m)]\n"
        "from lnat_plugins.cli import main; sys.exit(main(['plugins']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "only its source is on Python's path. Run pip install -e ." in done.stderr


class Quiet:
    @hookimpl
    def lnat_selected(self, selection: Any) -> None: ...


def test_objects_of_one_type_are_numbered() -> None:
    loaded = load_plugins(objects=[Quiet(), Quiet()]).loaded[-2:]
    assert [(one.name, one.origin) for one in loaded] == [
        ("Quiet", "object 1"),
        ("Quiet", "object 2"),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lnat_no_such_module", "no such module .*Install the package"),
        ("json.no_such_part", "no such module"),
        ("lnat_no_such.module", "no such module"),
        ("folder/mine", "this is neither the dotted name of a module nor a path that ends in .py"),
        ("", "this is neither the dotted name"),
        ("gone.py", "the file cannot be read: No such file"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^x.yaml: plugins: {message}"):
        load_plugins([name], base_dir=tmp_path, where="x.yaml: plugins")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import lnat_no_such_module\n", "ModuleNotFoundError: No module named 'lnat_no_such"),
        ("def f(:\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
    ],
)
def test_a_file_that_fails_is_reported_with_the_cause(
    text: str, message: str, tmp_path: Path
) -> None:
    lab.write(tmp_path / "mine.py", text)
    for _ in range(2):  # what has run half-way is not taken for a plugin the next time
        with pytest.raises(ConfigError, match=f"mine.py .*cannot be loaded: {message}"):
            load_plugins(["mine.py"], base_dir=tmp_path)
