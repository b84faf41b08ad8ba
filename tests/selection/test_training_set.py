"""The folder, `selection.json`, and the upload. Nothing is sent.

The parquet file: TRL's two formats, our columns, and whatever else the rows carry.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, load_dataset
from huggingface_hub.errors import LocalTokenNotFoundError
from trl import SFTConfig, SFTTrainer

from lnat_plugins import __version__
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.hooks.trl_resume import store_choice
from lnat_plugins.selection import Selection
from lnat_plugins.selection import training_set as write
from lnat_plugins.selection.cards import Provenance
from lnat_plugins.selection.training_set import (
    READ_BY_TEMPLATE,
    RESERVED,
    check_repo_id,
    extra_names,
    push_to_hub,
    read_selection,
    write_parquet,
    write_training_set,
)
from lnat_plugins.teacher_set import Candidates
from tests.helpers_students import student, tokenizer
from tests.selection.builders import PROVENANCE, TEXTS, four_rows, selection_of

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
    write_training_set(
        tmp_path / "c", pool, selection_of(pool), format="messages", llama_factory=True
    )
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


@pytest.mark.parametrize("name", ["write_parquet", "card"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_crash_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[BaseException]
) -> None:
    def crash(path: Any, *_: Any, **__: Any) -> None:
        if name == "write_parquet":
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
        write_training_set(tmp_path / "c", pool, selection_of(pool), format="messages")
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
    assert values["form"] == "prompt_completion"
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
    assert options["ignore_patterns"] == ["sft.yaml"]


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


def written(
    folder: Path,
    pool: Candidates,
    selection: Selection | None = None,
    format: str = "prompt_completion",
) -> Dataset:
    """What `datasets` reads of the file."""
    path = folder / "train.parquet"
    write_parquet(path, pool, selection or selection_of(pool), format)
    return load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(folder))


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_conversations_as_prompt_and_completion(tmp_path: Path) -> None:
    data = written(tmp_path, four_rows())
    assert data["prompt"][0] == [turn("system", "What is 0? \n\n"), turn("user", "What is 0? \n\n")]
    assert list(data["completion"]) == [[turn("assistant", text)] for text in TEXTS[1:3]]
    assert "messages" not in data.column_names


def test_conversations_as_messages(tmp_path: Path) -> None:
    data = written(tmp_path, four_rows(roles=["user"]), format="messages")
    assert data["messages"][1] == [turn("user", "What is 1? \n\n"), turn("assistant", TEXTS[2])]
    assert not {"prompt", "completion"} & set(data.column_names)


def test_plain_text_stays_as_it_is(tmp_path: Path) -> None:
    data = written(tmp_path, four_rows(plain=True))
    assert list(data["prompt"]) == ["What is 0? \n\n", "What is 1? \n\n"]
    assert list(data["completion"]) == list(TEXTS[1:3])


def test_our_columns(tmp_path: Path) -> None:
    pool = four_rows(correct=(True, None, False, True))
    data = written(tmp_path, pool, selection_of(pool, weights=(0.5, 2.0)))
    ours = {name: list(data[name]) for name in data.column_names if name.startswith("lnat_")}
    assert ours == {
        "lnat_teacher": ["R1", "QwQ"],
        "lnat_sample": [0, 0],
        "lnat_prompt_id": ["p0", "p1"],
        "lnat_score": [-1.0, None],
        "lnat_weight": [0.5, 2.0],
        "lnat_correct": [None, False],
        "lnat_index": [1, 2],
    }


def test_rows_stand_in_their_sequence_as_often_as_they_were_drawn(tmp_path: Path) -> None:
    pool = four_rows()
    selection = selection_of(pool, (0, 3), weights=(2.0, 0.5), sequence=(3, 0, 0))
    data = written(tmp_path, pool, selection)
    assert list(data["lnat_index"]) == [3, 0, 0]
    assert list(data["lnat_weight"]) == [0.5, 2.0, 2.0]
    assert list(data["lnat_score"]) == [-3.0, 0.0, 0.0]
    assert list(data["completion"]) == [data["completion"][0], *[data["completion"][1]] * 2]
    assert data["completion"][0] != data["completion"][1]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ((5, 6, 7, 8), [6, 7]),
        ((5, "a", 7, 8), ["a", "7"]),
        ((5, 2**63 - 1, 7, 8), [2**63 - 1, 7]),
        ((5, 2**63, 7, 8), [str(2**63), "7"]),
        ((5, 2**70, 7, 8), [str(2**70), "7"]),
    ],
)
def test_samples_of_two_kinds_are_text(
    tmp_path: Path, samples: Sequence[int | str], expected: list[int | str]
) -> None:
    assert list(written(tmp_path, four_rows(samples=samples))["lnat_sample"]) == expected


def test_only_what_the_chosen_rows_carry_is_a_column(tmp_path: Path) -> None:
    extras = [{"year": 1, "gone": 1}, {"year": 2}, {"place": {"a": [1]}}, {"gone": 1}]
    data = written(tmp_path, four_rows(extras))
    assert data.column_names[-2:] == ["year", "place"]
    assert list(data["year"]) == [2, None]
    assert list(data["place"]) == [None, {"a": [1]}]


@pytest.mark.parametrize(
    "values",
    [
        (1, "one"),
        (True, 1),
        ([1], ["a"]),
        ([1], 1),
        ({"a": 1}, {"a": "x"}),
        ({"a": 1}, [1]),
        ({}, {}),
        ([{"a": {}}], None),
        ({"a": {}}, None),
        ({"a": {"b": {}}, "c": 1}, {"a": None, "c": 2}),
        ([[{}]], [[]]),
        (2**70, 1),
        ("七", 7),
    ],
)
def test_values_without_a_common_type_are_json_text(tmp_path: Path, values: Any) -> None:
    data = written(tmp_path, four_rows([{}, {"x": values[0]}, {"x": values[1]}, {}]))
    found = [value if value is None else json.loads(value) for value in data["x"]]
    assert found == list(values)
    assert "\\u" not in str(data["x"][0])


@pytest.mark.parametrize(
    "values",
    [
        (1, 2.5),
        (None, None),
        ([], [1]),
        ("", None),
        (False, True),
        ({"a": {"b": 1}}, {"a": {"b": 2}}),
    ],
)
def test_values_with_a_common_type_keep_it(tmp_path: Path, values: Any) -> None:
    data = written(tmp_path, four_rows([{}, {"x": values[0]}, {"x": values[1]}, {}]))
    assert list(data["x"]) == list(values)


def test_a_name_that_means_something_to_trl_is_changed() -> None:
    extras = [{"text": 1, "row_text": 2, "lnat_score": 3}, {"year": 4, "row_row_text": 5}]
    assert extra_names(extras, plain=False) == {
        "text": "row_row_row_text",
        "row_text": "row_text",
        "lnat_score": "row_lnat_score",
        "year": "year",
        "row_row_text": "row_row_text",
    }


def test_a_column_that_the_rows_were_scored_with_keeps_its_name() -> None:
    """In conversations, of which the template reads it."""
    extras = [{"tools": "[]", "row_tools": 1, "text": "x"}]
    for plain, tools in ((False, "tools"), (True, "row_row_tools")):
        names = [*extra_names(extras, plain=plain).values()]
        assert names == [tools, "row_tools", "row_text"]


def test_a_name_that_is_taken_is_changed() -> None:
    extras = [{"teacher": 1, "row_teacher": 2}]
    names = extra_names(extras, plain=True, taken=["teacher", "row_row_teacher"])
    assert [*names.values()] == ["row_row_row_teacher", "row_teacher"]


def trained_ids(folder: Path, pool: Candidates, format: str) -> list[Mapping[str, Any]]:
    """What the trainer makes of the file."""
    reader = tokenizer()
    reader.pad_token = "<|end|>"
    args = SFTConfig(
        str(folder), use_cpu=True, bf16=False, gradient_checkpointing=None, report_to="none"
    )
    data = written(folder, pool, format=format)
    trainer = SFTTrainer(student("llama"), args, train_dataset=data, processing_class=reader)
    return [{"ids": row["input_ids"], "labels": row["labels"]} for row in trainer.train_dataset]


@pytest.mark.parametrize(
    ("plain", "format"),
    [(True, "prompt_completion"), (False, "prompt_completion"), (False, "messages")],
)
def test_the_other_columns_do_not_change_what_is_trained_on(
    tmp_path: Path, plain: bool, format: str
) -> None:
    names = RESERVED if plain else RESERVED.difference(READ_BY_TEMPLATE)
    hostile: dict[str, Any] = dict.fromkeys(names, "x") | {"labels": [1], "input_ids": [1]}
    trained = []
    for name, extra in (("hostile", hostile), ("bare", {})):
        (tmp_path / name).mkdir()
        trained.append(trained_ids(tmp_path / name, four_rows([extra] * 4, plain=plain), format))
    assert trained[0] == trained[1]
    assert len(trained[0]) == 2


def test_many_rows_are_written_in_parts_that_fit_together(tmp_path: Path) -> None:
    pool = four_rows([{"x": i} for i in range(2100)])
    everything = range(2100)
    data = written(tmp_path, pool, selection_of(pool, everything))
    assert list(data["x"]) == list(data["lnat_index"]) == list(everything)
    assert pq.ParquetFile(tmp_path / "train.parquet").num_row_groups == 3


def test_tools_come_back_as_they_were(tmp_path: Path) -> None:
    """As structs, each would have the other's keys, as nulls."""
    tools = [[{"name": name, "properties": {name: {"type": "number"}}}] for name in ("add", "sum")]
    rows = four_rows([{"tools": one} for one in (*tools, *tools)], roles=["user"])
    found = [json.loads(one) for one in written(tmp_path, rows)["tools"]]
    assert found == [tools[i % 2] for i in selection_of(rows).indices]
