"""The folder, `selection.json`, and the upload. Nothing is sent."""

from __future__ import annotations

import json
import math
import os
from datetime import date
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalTokenNotFoundError

from lnat_plugins import __version__
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.hooks.trl_resume import store_choice
from lnat_plugins.selection import Selection
from lnat_plugins.selection import training_set as write
from lnat_plugins.selection.cards import Provenance
from lnat_plugins.selection.training_set import (
    check_repo_id,
    push_to_hub,
    read_selection,
    write_training_set,
)
from tests.selection.builders import PROVENANCE, four_rows, selection_of

FILES = ["README.md", "data/train.parquet", "selection.json", "sft.yaml"]


def below(folder: Path) -> list[str]:
    """Every file, hidden ones included."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def put(folder: Path, chosen: tuple[int, ...] = (1, 2), **options: Any) -> tuple[Path, ...]:
    pool = four_rows()
    return write_training_set(folder, pool, selection_of(pool, chosen), **options)


def test_the_files(tmp_path: Path) -> None:
    written = put(tmp_path / "new" / "chosen")
    assert below(tmp_path) == [f"new/chosen/{name}" for name in FILES]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in written) == below(tmp_path)
    assert all(path.is_absolute() for path in written)
    mode = (tmp_path / "new" / "chosen").stat().st_mode
    assert mode & 0o777 == (tmp_path / "new").stat().st_mode & 0o777


def test_an_older_training_set_is_replaced_whole(tmp_path: Path) -> None:
    pool = four_rows(roles=["user"])
    write_training_set(tmp_path / "c", pool, selection_of(pool), format="llama_factory")
    assert "c/dataset_info.json" in below(tmp_path)
    put(tmp_path / "c", (0,))
    assert below(tmp_path) == [f"c/{name}" for name in FILES]
    assert read_selection(tmp_path / "c").indices == (0,)


def test_an_empty_folder_and_a_link_are_filled(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for chosen in ((1, 2), (0,)):
        put(tmp_path / "link", chosen)
        assert (tmp_path / "link").is_symlink()
        assert read_selection(tmp_path / "real").indices == chosen


def test_the_same_selection_writes_the_same_bytes(tmp_path: Path) -> None:
    first, second = ([path.read_bytes() for path in sorted(put(tmp_path / "c"))] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", ["write_columns", "card"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_crash_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[BaseException]
) -> None:
    def crash(path: Any, *_: Any, **__: Any) -> None:
        if name == "write_columns":
            path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(write, name, crash)
    with pytest.raises(error):
        put(tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_a_crash_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "c", (0,))
    rename = Path.rename
    moves: list[Path] = []

    def crash(self: Path, target: Path) -> Path:
        moves.append(self)
        if len(moves) == 2:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        put(tmp_path / "c")
    assert below(tmp_path) == [f"c/{name}" for name in FILES]
    assert read_selection(tmp_path / "c").indices == (0,)


@pytest.mark.parametrize("name", ["model.safetensors", "data/valid.parquet", "x/y"])
def test_files_of_others_are_never_removed(tmp_path: Path, name: str) -> None:
    put(tmp_path / "c")
    (tmp_path / "c" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "c" / name).touch()
    before = below(tmp_path)
    with pytest.raises(ConfigError, match=rf"no part of a training set \(found '{name}'\)"):
        put(tmp_path / "c")
    assert below(tmp_path) == before


@pytest.mark.parametrize("text", ["{}", "no json"])
def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "selection.json").write_text(text)
    with pytest.raises(ConfigError, match=r"\(found 'selection.json'\)\. Give another folder"):
        put(tmp_path)
    with pytest.raises(ConfigError, match="this is a file, and a training set is a folder"):
        put(tmp_path / "selection.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match=r"cannot be written \(found 'Permission denied'\)"):
        put(tmp_path / "c")


def test_a_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be written \(found '.*file is a file, not"):
        put(tmp_path / "file" / "c")


def test_a_format_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    pool = four_rows(plain=True)
    with pytest.raises(ConfigError, match="plain text cannot be written as `messages`.*apply_chat"):
        write_training_set(tmp_path / "c", pool, selection_of(pool), format="trl_messages")
    with pytest.raises(ConfigError, match=r"unknown format of rows \(found 'mesages'\)\. Did you"):
        write_training_set(tmp_path / "c", pool, selection_of(pool), format="mesages")
    assert below(tmp_path) == []


def test_a_selection_of_other_rows_is_refused(tmp_path: Path) -> None:
    pool = four_rows()
    with pytest.raises(DataError, match="made from other rows"):
        write_training_set(tmp_path / "c", pool, selection_of(four_rows(plain=True)))
    with pytest.raises(DataError, match="no row is chosen"):
        write_training_set(tmp_path / "c", pool, selection_of(pool, ()))


def test_the_selection_is_read_back(tmp_path: Path) -> None:
    pool = four_rows()
    selection = selection_of(pool, weights=(0.5, 1.5), ties=3)
    write_training_set(tmp_path / "chosen", pool, selection, provenance=PROVENANCE)
    for source in (tmp_path / "chosen", str(tmp_path / "chosen" / "selection.json")):
        found = read_selection(source)
        assert math.isnan(found.scores[2])
        assert found.as_dict() == selection.as_dict()


def test_the_selection_of_a_trainer_s_run_is_read_too(tmp_path: Path) -> None:
    pool = four_rows()
    (tmp_path / "run").mkdir()
    store_choice(tmp_path / "run", selection_of(pool, (0,)), pool, {})
    for source in (tmp_path / "run", tmp_path / "run" / "lnat_selection.json"):
        assert read_selection(source).indices == (0,)
    write_training_set(tmp_path / "chosen", pool, selection_of(pool), provenance=PROVENANCE)
    (tmp_path / "chosen" / "selection.json").rename(tmp_path / "run" / "selection.json")
    assert read_selection(tmp_path / "run").indices == (1, 2)


def test_selection_json_holds_provenance_and_counts(tmp_path: Path) -> None:
    pool = four_rows()
    write_training_set(tmp_path / "chosen", pool, selection_of(pool), provenance=PROVENANCE)
    text = (tmp_path / "chosen" / "selection.json").read_text(encoding="utf-8")
    values = json.loads(text)
    assert values["lnat_plugins"] == __version__
    assert values["task"] == "sums"
    assert values["files"] == list(PROVENANCE.files)
    assert values["scoring"] == dict(PROVENANCE.scoring)
    assert values["versions"] == {"lnat_plugins": "0.0.9", "torch": "2.13"}
    assert values["format"] == "trl"
    assert values["chosen_by_teacher"] == {"QwQ": 1, "R1": 1}
    assert values["left_out"] == {"another response scored higher": {"QwQ": 1, "R1": 1}}
    assert "NaN" not in text
    assert Selection.from_dict(values).indices == (1, 2)
    assert text.count("\n") == len(values) + 2


def test_a_setting_that_json_lacks_is_written_as_text(tmp_path: Path) -> None:
    pool = four_rows()
    selection = selection_of(pool, settings={"since": date(2025, 1, 2)})
    write_training_set(tmp_path / "chosen", pool, selection, provenance=Provenance())
    assert read_selection(tmp_path / "chosen").settings == {"since": "2025-01-02"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"cannot be opened .*Name the folder that `lnat select` or a tr"),
        ("{", r"selection\.json: this is not a stored selection"),
        ("3", r"this is not a stored selection"),
        ("{}", r"this is not a stored selection"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "selection.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_selection(tmp_path)


class FakeHub:
    """Records the calls; raises the given failures."""

    def __init__(self, failures: dict[str, Exception] | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failures = failures or {}

    def create_repo(self, repo_id: str, **more: Any) -> None:
        self._call("create_repo", {"repo_id": repo_id, **more})

    def upload_folder(self, **more: Any) -> None:
        self._call("upload_folder", more)

    def _call(self, name: str, arguments: dict[str, Any]) -> None:
        self.calls.append((name, arguments))
        if name in self.failures:
            raise self.failures[name]


def hub(monkeypatch: pytest.MonkeyPatch, failures: dict[str, Exception] | None = None) -> FakeHub:
    fake = FakeHub(failures)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    return fake


def test_a_new_repository_is_private_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = hub(monkeypatch)
    address = push_to_hub(tmp_path, "me/chosen")
    assert address == "https://huggingface.co/datasets/me/chosen"
    push_to_hub(tmp_path, "me/chosen", private=False)
    made = [more for name, more in fake.calls if name == "create_repo"]
    assert [one["private"] for one in made] == [True, False]
    assert all(one["exist_ok"] and one["repo_type"] == "dataset" for one in made)


def test_the_folder_goes_up_without_this_machine_s_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = hub(monkeypatch)
    push_to_hub(tmp_path, "me/chosen")
    name, options = fake.calls[1]
    assert name == "upload_folder"
    assert (options["folder_path"], options["repo_id"]) == (tmp_path, "me/chosen")
    assert options["repo_type"] == "dataset"
    assert {"sft.yaml", "dpo.yaml", "kto.yaml", "axolotl.yaml"} == {*options["ignore_patterns"]}


@pytest.mark.parametrize("call", ["create_repo", "upload_folder"])
@pytest.mark.parametrize(
    "cause",
    [
        LocalTokenNotFoundError("no token.\nmore words"),
        ConnectionError("no token"),
        ValueError("no token"),
    ],
)
def test_a_refusal_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, cause: Exception
) -> None:
    hub(monkeypatch, {call: cause})
    expected = (
        f"me/chosen: the training set was not uploaded: no token. Log in with `hf auth login`, or "
        f"upload the folder {tmp_path} yourself."
    )
    with pytest.raises(ConfigError) as caught:
        push_to_hub(tmp_path, "me/chosen")
    assert str(caught.value) == expected
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize("name", ["a/b/c", "me/..", "-me", ""])
def test_a_name_that_no_repository_can_have(name: str) -> None:
    with pytest.raises(ConfigError, match="no repository can have this name"):
        check_repo_id(name)
    check_repo_id("me/chosen")
