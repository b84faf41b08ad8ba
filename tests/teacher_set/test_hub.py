"""Data on the hub, with the hub's libraries replaced: no test uses the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.teacher_set import sources as _hub
from tests.teacher_set.conftest import Load, row, two

URL = "hf://datasets/owner/name/*/gen1.json"


def test_a_dataset_is_loaded_with_the_yamls_keys(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def load_dataset(path: str, name: str | None, **kwargs: Any) -> Any:
        asked.update(path=path, name=name, **kwargs)
        return datasets.Dataset.from_list(two())

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    keys = {
        "dataset_name": "math",
        "test_split": "test",
        "dataset_kwargs": {"revision": "v1"},
    }
    teacher_set = load({}, "owner/name", keys)
    assert asked == {"path": "owner/name", "name": "math", "split": "test", "revision": "v1"}
    assert teacher_set.prompts[0].responses[1].where == "owner/name[test] row 2"


def test_each_teacher_may_have_a_dataset(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(path: str, name: str | None, **kwargs: Any) -> Any:
        return datasets.Dataset.from_list([{"prompt": "p", "response": path}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert load({}, {"A": "o/a", "B": "o/b"}).teachers == ("A", "B")


def test_files_on_the_hub_are_found_by_pattern_and_read_as_local_ones(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def glob(self: Any, path: str) -> list[str]:
        assert path == "datasets/owner/name/*/gen1.json"
        return [f"datasets/owner/name/{t}/gen1.json" for t in ("R1", "QwQ")]

    def download(repo: str, path: str, *, repo_type: str, revision: str | None) -> str:
        asked.append((repo, path, repo_type, revision))
        copy = tmp_path / path.replace("/", "_")
        copy.write_text(json.dumps([{"prompt": "p", "response": path}]))
        return str(copy)

    monkeypatch.setattr(huggingface_hub.HfFileSystem, "glob", glob)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    kwargs = {"dataset_kwargs": {"revision": "abc"}}
    teacher_set = load({}, URL, kwargs, teacher_from="parent_dir")
    assert teacher_set.teachers == ("QwQ", "R1")
    assert asked[0] == ("owner/name", "QwQ/gen1.json", "dataset", "abc")
    where = teacher_set.prompts[0].responses[0].where
    assert where == "hf://datasets/owner/name/QwQ/gen1.json row 1"


def test_a_hub_that_cannot_be_reached_is_one_clear_error(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("Couldn't reach the hub.\nmore lines")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    monkeypatch.setattr(huggingface_hub.HfFileSystem, "glob", fail)
    file = "hf://datasets/owner/name/a.json"
    for path in ("owner/name", file, URL):
        with pytest.raises(DataError) as caught:
            load({}, path)
        text = str(caught.value)
        assert text.startswith(f"{path}: the dataset cannot be loaded: ConnectionError: Couldn't")
        assert "more lines" not in text
        assert "a local copy's path" in text


def test_an_error_in_a_hub_row_names_dataset_and_row(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = datasets.Dataset.from_list([row(), row(teacher="B", response="")])
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: rows)
    with pytest.raises(DataError, match=r"^owner/name\[train\] row 2, column 'response'"):
        load({}, "owner/name")


def test_what_the_hub_cannot_tell_is_refused(load: Load) -> None:
    with pytest.raises(
        ConfigError, match=r"no file names to take teachers from.*hf://datasets/o/n"
    ):
        load({}, "o/n", teacher_from="file_stem")
    with pytest.raises(DataError, match="not the address of a file on the hub"):
        load({}, "hf://owner/name/a.json")


def test_an_address_may_hold_a_revision() -> None:
    file = _hub.parse_url("hf://datasets/o/n@refs-1/a/b.json", "")
    assert file == ("o/n", "refs-1", "a/b.json")
