"""axolotl's config, and the plugin, with stand-ins for what it imports."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from lnat_plugins.selection.training_set import write_training_set
from tests.selection.builders import four_rows, selection_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pool = four_rows()
    write_training_set(tmp_path / "c", pool, selection_of(pool), format="axolotl", longest=77)
    return tmp_path / "c"


def test_the_config_names_the_rows_and_leaves_no_length_to_defaults(folder: Path) -> None:
    values = yaml.safe_load((folder / "axolotl.yaml").read_text(encoding="utf-8"))
    (entry,) = values["datasets"]
    assert entry == {
        "path": str(folder / "data/train.parquet"),
        "ds_type": "parquet",
        "type": "chat_template",
        "field_messages": "messages",
        "message_field_training": "train",
        "roles_to_train": [],
    }
    assert values["base_model"] == "org/student"
    assert (values["sequence_len"], values["excess_length_strategy"]) == (77, "raise")


def test_without_a_length_the_key_is_left_out(tmp_path: Path) -> None:
    pool = four_rows()
    write_training_set(tmp_path / "c", pool, selection_of(pool), format="axolotl")
    values = yaml.safe_load((tmp_path / "c" / "axolotl.yaml").read_text(encoding="utf-8"))
    assert "sequence_len" not in values


def test_the_plugin_puts_the_rows_beside_it_in_place_of_the_config_s(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []

    def load_datasets(*, cfg: Any) -> str:
        loaded.append(cfg["datasets"])
        return "meta"

    names: dict[str, dict[str, Any]] = {
        "axolotl": {}, "axolotl.common": {}, "axolotl.utils": {}, "axolotl.integrations": {},
        "axolotl.integrations.base": {"BasePlugin": object},
        "axolotl.common.datasets": {"load_datasets": load_datasets},
        "axolotl.utils.dict": {"DictDefault": dict},
    }  # fmt: skip
    for name, contents in names.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    moved = folder.rename(folder.parent / "elsewhere")
    spec = importlib.util.spec_from_file_location("lnat_axolotl", moved / "lnat_axolotl.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.ChosenRows().load_datasets({"datasets": ["others"]}, True) == "meta"
    values = yaml.safe_load((moved / "axolotl.yaml").read_text(encoding="utf-8"))
    as_config = values["datasets"][0] | {"path": str(moved / "data/train.parquet")}
    assert loaded == [[as_config]]


def test_the_plugin_imports_nothing_of_ours(folder: Path) -> None:
    text = (folder / "lnat_axolotl.py").read_text(encoding="utf-8")
    assert "lnat_plugins" not in text
    assert str(folder) not in text
