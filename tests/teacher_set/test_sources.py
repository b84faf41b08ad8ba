"""Where rows are and whose they are: files, folders, patterns, and the hub without the network."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set import load as load_defined
from lnat_plugins.teacher_set.config import parse_task
from lnat_plugins.teacher_set.sources import parse_url
from tests.teacher_set.conftest import Load, jsonl, row, two


def test_a_folder_in_the_place_of_a_file_is_a_folder(load: Load, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").mkdir()
    with pytest.raises(DataError, match="leads to no data"):
        load({}, "rows.jsonl")


def test_paths_start_from_the_yaml_not_from_the_working_directory(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load({"deep/rows.jsonl": jsonl(*two())}, "deep/rows.jsonl").n_responses == 2


def test_a_dictionary_starts_from_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text(jsonl(*two()))
    monkeypatch.chdir(tmp_path)
    spec = parse_task({"task": "t", "dataset_path": "rows.jsonl"})
    assert load_defined(spec).n_responses == 2


BY_TEACHER = {
    "QwQ/a.jsonl": jsonl({"prompt": "p1", "response": "q1"}),
    "QwQ/b.jsonl": jsonl({"prompt": "p2", "response": "q2"}),
    "R1/a.jsonl": jsonl({"prompt": "p1", "response": "r1"}, {"prompt": "p2", "response": "r2"}),
    "R1/.hidden.jsonl": "not read",
    "R1/notes.txt": "not read",
}


@pytest.mark.parametrize(
    ("path", "naturalness"),
    [
        ("data/*/*.jsonl", {"teacher_from": "parent_dir"}),
        ("data", {"teacher_from": "parent_dir"}),
        ({"QwQ": ["data/QwQ/a.jsonl", "data/QwQ/b.jsonl"], "R1": "data/R1/*.jsonl"}, {}),
        ({"QwQ": "data/QwQ", "R1": "data/R1"}, {}),
    ],
)
def test_a_file_may_name_its_teacher(load: Load, path: Any, naturalness: dict[str, str]) -> None:
    teacher_set = load({f"data/{n}": t for n, t in BY_TEACHER.items()}, path, **naturalness)
    assert teacher_set.teachers == ("QwQ", "R1")
    texts = [[r.text for r in prompt.responses] for prompt in teacher_set.prompts]
    assert texts == [["q1", "r1"], ["q2", "r2"]]
    assert teacher_set.prompts[0].responses[0].where == "data/QwQ/a.jsonl row 1"


def test_a_files_name_may_be_the_teacher(load: Load) -> None:
    files = {f"{t}.jsonl": jsonl({"prompt": "p", "response": t}) for t in ("QwQ", "R1")}
    teacher_set = load(files, ["QwQ.jsonl", "R1.jsonl"], teacher_from="file_stem")
    assert teacher_set.teachers == ("QwQ", "R1")


def test_a_named_file_outranks_a_teacher_column_which_is_kept(load: Load) -> None:
    files = {"a.jsonl": jsonl(row(teacher="x")), "b.jsonl": jsonl(row(teacher="y"))}
    teacher_set = load(files, {"A": "a.jsonl", "B": "b.jsonl"})
    assert teacher_set.teachers == ("A", "B")
    assert teacher_set.prompts[0].responses[0].extra == {"row_teacher": "x"}


def test_lm_evals_data_files_are_read_from_the_yamls_folder(load: Load) -> None:
    keys = {"dataset_kwargs": {"data_files": {"train": "rows.jsonl"}}}
    assert load(two(), "json", keys).n_responses == 2


def test_compressed_files_are_found_and_name_their_teacher(load: Load) -> None:
    texts = {t: jsonl({"prompt": "p", "response": t}) for t in ("QwQ-1.5", "R1")}
    files = {f"d/{t}.jsonl.gz": gzip.compress(text.encode()) for t, text in texts.items()}
    for path in ("d", "d/*.gz", ["d/QwQ-1.5.jsonl.gz", "d/R1.jsonl.gz"]):
        assert load(files, path, teacher_from="file_stem").teachers == ("QwQ-1.5", "R1")


# folders that `save_to_disk` wrote


def save(rows: list[dict[str, Any]], folder: Path) -> None:
    datasets.Dataset.from_list(rows).save_to_disk(folder)


def test_a_saved_dataset_is_read_whole(load: Load, tmp_path: Path) -> None:
    datasets.Dataset.from_list([row("q"), *two()]).select([1, 2]).save_to_disk(tmp_path / "saved")
    for path in ("saved", "save*", "saved/*.arrow", ["saved"]):
        found = load({}, path)
        assert found.fingerprint == load(two()).fingerprint
        assert found.prompts[0].responses[1].where == "saved row 2"


def test_of_several_saved_splits_the_sets_own_is_read(load: Load, tmp_path: Path) -> None:
    splits = {"train": [row("q", "A"), row("q", "B")], "test": two()}
    saved = {name: datasets.Dataset.from_list(rows) for name, rows in splits.items()}
    datasets.DatasetDict(saved).save_to_disk(str(tmp_path / "saved"))
    assert [p.text for p in load({}, "saved").prompts] == ["q"]
    assert [p.text for p in load({}, "saved", {"test_split": "test"}).prompts] == ["p1"]
    message = r"^saved: the saved dataset has no split 'dev' \(found 'train, test'\)\. Name one of"
    with pytest.raises(DataError, match=message):
        load({}, "saved", {"test_split": "dev"})


@pytest.mark.parametrize(
    ("path", "teacher_from"),
    [
        ({"QwQ-1.5": "d/QwQ-1.5", "R1": "d/R1"}, "column"),
        ("d", "file_stem"),
        ("d/*", "file_stem"),
        ("e/*/*", "parent_dir"),
        ("e", "parent_dir"),
    ],
)
def test_each_teacher_may_have_a_saved_dataset(
    load: Load, tmp_path: Path, path: Any, teacher_from: str
) -> None:
    for teacher in ("QwQ-1.5", "R1"):
        save([{"prompt": "p", "response": teacher}], tmp_path / "d" / teacher)
        save([{"prompt": "p", "response": teacher}], tmp_path / "e" / teacher / "one")
    assert load({}, path, teacher_from=teacher_from).teachers == ("QwQ-1.5", "R1")


def test_files_beside_a_saved_dataset_are_read_too(load: Load, tmp_path: Path) -> None:
    save([row(teacher="A")], tmp_path / "d" / "saved")
    assert load({"d/b.jsonl": jsonl(row(teacher="B"))}, "d").n_responses == 2


# the hub, its libraries replaced

URL = "hf://datasets/owner/name/*/gen1.json"


def test_a_dataset_is_loaded_with_the_yamls_keys(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: dict[str, Any] = {}

    def load_dataset(path: str, name: str | None, **kwargs: Any) -> Any:
        called.update(path=path, name=name, **kwargs)
        return datasets.Dataset.from_list(two())

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    keys = {
        "dataset_name": "math",
        "test_split": "test",
        "dataset_kwargs": {"revision": "v1"},
    }
    teacher_set = load({}, "owner/name", keys)
    assert called == {"path": "owner/name", "name": "math", "split": "test", "revision": "v1"}
    assert teacher_set.prompts[0].responses[1].where == "owner/name[test] row 2"


def test_each_teacher_may_have_a_dataset(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(path: str, name: str | None, **kwargs: Any) -> Any:
        return datasets.Dataset.from_list([{"prompt": "p", "response": path}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert load({}, {"A": "o/a", "B": "o/b"}).teachers == ("A", "B")


def test_files_on_the_hub_are_found_by_pattern_and_read_as_local_ones(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    downloads = []

    def glob(self: Any, path: str) -> list[str]:
        assert path == "datasets/owner/name/*/gen1.json"
        return [f"datasets/owner/name/{t}/gen1.json" for t in ("R1", "QwQ")]

    def download(repo: str, path: str, *, repo_type: str, revision: str | None) -> str:
        downloads.append((repo, path, repo_type, revision))
        copy = tmp_path / path.replace("/", "_")
        copy.write_text(json.dumps([{"prompt": "p", "response": path}]))
        return str(copy)

    monkeypatch.setattr(huggingface_hub.HfFileSystem, "glob", glob)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    kwargs = {"dataset_kwargs": {"revision": "abc"}}
    teacher_set = load({}, URL, kwargs, teacher_from="parent_dir")
    assert teacher_set.teachers == ("QwQ", "R1")
    assert downloads[0] == ("owner/name", "QwQ/gen1.json", "dataset", "abc")
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
        load({}, "owner/name", strict=True)


def test_an_address_may_hold_a_revision() -> None:
    file = parse_url("hf://datasets/o/n@refs-1/a/b.json", "")
    assert file == ("o/n", "refs-1", "a/b.json")
