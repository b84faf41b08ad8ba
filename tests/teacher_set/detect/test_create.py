"""From data to a YAML: where it is written, what it says, and when nothing is written."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from lnat_plugins import init_teacher_set, load_teacher_set
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.files import parse_yaml, read_yaml
from lnat_plugins.teacher_set import LOADERS, Loader, TeacherSet, load
from lnat_plugins.teacher_set.catalog import check_task
from lnat_plugins.teacher_set.detect.create import STDOUT, Options, ProposalError, create
from tests.teacher_set.conftest import jsonl


def rows(*teachers: str, prompts: int = 4, **more: Any) -> list[dict[str, Any]]:
    return [
        {"question": f"How many are {i} and 5?", "output": f"{t} adds {i} and 5.", "model": t,
         **more}
        for i in range(prompts) for t in teachers
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text(jsonl(*rows("A", "B", domain="math")), "utf-8")
    return tmp_path


def test_columns_that_cannot_be_compared_or_written_are_not_proposed(folder: Path) -> None:
    odd = {"array": np.zeros(2), "in_list": [np.zeros(2)], "digits": 10**5000}
    given = [row | odd for row in rows("A", "B")]
    loaders = {**LOADERS, "odd": Loader("odd", (".odd",), lambda path, shown: given)}
    (folder / "rows.odd").touch()
    loads = partial(load, loaders=loaders)
    new = create(["rows.odd"], Options(), STDOUT, loaders, loads)
    assert (new.teacher_set.n_responses, new.teacher_set.unusable["A"].left_out) == (8, 0)
    assert "columns that are not read: digits" in new.yaml, new.yaml


def test_the_yaml_is_written_beside_the_data_and_loads(folder: Path) -> None:
    new = init_teacher_set("data/rows.jsonl")
    assert new.path == folder / "data" / "my_teachers.yaml"
    assert check_task(new.path).fingerprint == new.teacher_set.fingerprint
    lines = new.yaml.splitlines()
    assert lines[0] == "class: !function lnat_plugins.harness.NaturalnessTask"
    assert lines[1:5] == [
        "task: my_teachers",
        "dataset_path: rows.jsonl",
        "naturalness:",
        "  columns: {prompt: question, response: output, teacher: model}",
    ]


def test_every_commented_key_can_be_uncommented(folder: Path) -> None:
    data = rows("A", "B", prompts=8, domain="math", is_correct=True)
    data[0] |= {"domain": "code", "is_correct": False}
    Path("rows.jsonl").write_text(jsonl(*data), "utf-8")
    new = init_teacher_set("rows.jsonl")
    options = [line[4:] for line in new.yaml.splitlines() if line.startswith("  # ")]
    keys = [line for line in options if line.split(":")[0].isidentifier()]
    assert [line.split(":")[0] for line in keys] == [
        "require_correct", "where", "min_teachers", "windows",
    ]  # fmt: skip
    text = new.yaml
    for line in keys:
        text = text.replace(f"  # {line}", f"  {line}")
    Path("all.yaml").write_text(text, "utf-8")
    found = check_task("all.yaml")
    assert found.n_responses == 14  # of 16, without the prompt of another domain
    assert found.settings.windows == ("4", "10%", "global")


def test_an_existing_file_is_not_replaced(folder: Path) -> None:
    Path("data/my_teachers.yaml").write_text("mine", "utf-8")
    with pytest.raises(ConfigError, match=r"is not replaced\. Name another by --output_path FILE"):
        init_teacher_set("data/rows.jsonl")
    assert Path("data/my_teachers.yaml").read_text("utf-8") == "mine"


def test_data_that_is_not_there_is_named_before_a_file_that_is(folder: Path) -> None:
    (folder / "my_teachers.yaml").write_text("")
    with pytest.raises(DataError, match="nowhere.jsonl: no such file"):
        init_teacher_set("nowhere.jsonl")


def test_a_file_that_lm_eval_would_not_read_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="lm-eval reads files that end in .yaml only"):
        init_teacher_set("data/rows.jsonl", output_path="mine.yml")


def test_scores_of_a_teacher_set_are_for_lnat_rank(folder: Path) -> None:
    line = {"doc": {"prompt_id": "p", "prompt": "?", "responses": []}, "resps": []}
    (folder / "samples_x_2026.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="scores that lm_eval wrote, .* `lnat rank`"):
        init_teacher_set("samples_x_2026.jsonl")


def test_system_turns_are_said(folder: Path) -> None:
    found = [
        {"model": one["model"], "messages": [
            {"role": "system", "content": "Think."}, {"role": "user", "content": one["question"]},
            {"role": "assistant", "content": one["output"]}]}
        for one in rows("QwQ", "R1")
    ]  # fmt: skip
    (folder / "turns.json").write_text(json.dumps(found), encoding="utf-8")
    assert "system: in the turns of 4 prompts" in init_teacher_set("turns.json").to_text()


def test_the_example_filter_is_of_how_a_row_ended(folder: Path) -> None:
    found = [
        {**one, "kind": "ab"[i % 2], "finish_reason": "stop" if i else "length"}
        for i, one in enumerate(rows("QwQ", "R1"))
    ]
    (folder / "ends.json").write_text(json.dumps(found), encoding="utf-8")
    assert "# where: {finish_reason: stop}" in init_teacher_set("ends.json").yaml


def test_paths_are_relative_to_the_yaml(folder: Path) -> None:
    new = init_teacher_set("data/rows.jsonl", output_path="sets/t.yaml", task="mine")
    found = read_yaml("sets/t.yaml")
    assert (found["task"], found["dataset_path"]) == ("mine", "../data/rows.jsonl")
    assert check_task("sets/t.yaml").fingerprint == new.teacher_set.fingerprint


def test_a_new_folder_is_not_left_behind(folder: Path) -> None:
    for name in ("math", "code"):
        (folder / f"{name}.jsonl").write_text(jsonl({"prompt": name, "response": "r"}), "utf-8")
    with pytest.raises(ProposalError):
        init_teacher_set("math.jsonl", "code.jsonl", output_path="new/deep/t.yaml")
    assert not Path("new").exists()


def test_nothing_is_written_for_a_dash(folder: Path) -> None:
    new = init_teacher_set("data/rows.jsonl", output_path="-")
    assert new.path is None
    assert not list(folder.rglob("*.yaml"))
    assert parse_yaml(new.yaml, folder / "x")["dataset_path"] == "data/rows.jsonl"
    assert "next:" not in new.to_text()


def test_a_folder_is_read_and_holds_the_yaml(folder: Path) -> None:
    (folder / "data" / "more.jsonl").write_text(jsonl(*rows("C")), "utf-8")
    new = init_teacher_set("data")
    assert new.path == Path("data/my_teachers.yaml")
    assert read_yaml(new.path)["dataset_path"] == "."
    assert new.teacher_set.teachers == ("C", "A", "B")


def test_a_saved_dataset_is_left_as_it_is(folder: Path) -> None:
    datasets.Dataset.from_list(rows("A", "B")).save_to_disk("saved")
    before = sorted(p.name for p in Path("saved").iterdir())
    new = init_teacher_set("saved")
    assert new.path == folder / "my_teachers.yaml"
    assert read_yaml(new.path)["dataset_path"] == "saved"
    assert sorted(p.name for p in Path("saved").iterdir()) == before


def test_a_saved_split_is_named(folder: Path) -> None:
    saved = datasets.Dataset.from_list(rows("A", "B"))
    datasets.DatasetDict({"math": saved}).save_to_disk("saved")
    with pytest.raises(DataError, match=r"has no split 'train' .*--split"):
        init_teacher_set("saved")
    init_teacher_set("saved", split="math")
    assert read_yaml("my_teachers.yaml")["test_split"] == "math"


def test_a_dataset_on_the_hub_is_written_in_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []

    def load_dataset(path: str, name: str | None, split: str) -> Any:
        called.append((path, name, split))
        return datasets.Dataset.from_list(rows("A", "B"))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    new = init_teacher_set("owner/name", dataset_name="math", split="test")
    assert set(called) == {("owner/name", "math", "test")}
    assert new.path == Path("my_teachers.yaml")
    found = read_yaml(new.path)
    assert [found[key] for key in ("dataset_path", "dataset_name", "test_split")] == [
        "owner/name", "math", "test",
    ]  # fmt: skip


def test_a_proposal_that_does_not_load_is_shown_and_not_written(folder: Path) -> None:
    for name in ("math", "code"):
        own = [{"prompt": f"{name} {i}", "response": "It is so."} for i in range(3)]
        (folder / f"{name}.jsonl").write_text(jsonl(*own), "utf-8")
    with pytest.raises(ProposalError, match="leaves no response") as caught:
        init_teacher_set("math.jsonl", "code.jsonl")
    assert "dataset_path: {math: math.jsonl, code: code.jsonl}" in caught.value.proposal
    assert not list(folder.rglob("*.yaml"))


def test_a_second_teacher_beyond_the_rows_looked_at_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lnat_plugins.teacher_set.detect.sample.ROWS", 2)
    monkeypatch.setattr("lnat_plugins.teacher_set.detect.sample._LEAST", 4)
    own = sorted(rows("A", "B", prompts=60), key=lambda row: row["model"])
    Path("rows.jsonl").write_text(jsonl(*own[:61]), "utf-8")
    new = init_teacher_set("rows.jsonl")
    assert new.teacher_set.teachers == ("A", "B")
    assert "min_teachers: 1" not in new.yaml
    assert new.detected.doubts == ()


def test_ids_that_do_not_fit_all_rows_are_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = rows("A", "B", prompts=200)
    for i, row in enumerate(own):
        row["id"] = min(i // 2, 30)
    Path("rows.jsonl").write_text(jsonl(*own[:62], *own[300:]), "utf-8")
    monkeypatch.setattr("lnat_plugins.teacher_set.detect.create.sample_rows", lambda *_: own[:40])
    new = init_teacher_set("rows.jsonl")
    assert "prompt_id" not in new.yaml
    assert new.detected.doubts == (
        "id is not read as the prompt's id: it does not fit all of the rows",
    )
    with pytest.raises(ProposalError, match="two different prompts share the id"):
        init_teacher_set("rows.jsonl", prompt_id="id", output_path="new.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"promt": "x"}, "unknown option .*Did you mean 'prompt'"),
        ({"prompt": "x"}, r"--prompt: no row has this column \(found 'x'\)"),
        ({"layout": "lng"}, "no such choice .*Did you mean 'long'"),
        ({"prompt": ""}, "this must be text"),
        ({"teacher": ["model", "A=data/rows.jsonl"]}, "one column, or by files"),
        ({"layout": "wide", "response": "output,model", "sample": "model"}, "no such column"),
        ({"response": "question"}, "--response: this column is read as something else"),
        ({"prompt": 3}, "this must be text"),
        ({"teacher": {"A": 3}}, "a teacher and a file must be named"),
        ({"teacher": "=data/rows.jsonl"}, "a teacher and a file must be named"),
        ({"teacher": ["A=data/rows.jsonl", "B=data"]}, "a file is given to two teachers"),
    ],
)
def test_options_are_checked(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        init_teacher_set("data/rows.jsonl", **options)


def test_the_teacher_of_every_file_must_be_given(folder: Path) -> None:
    (folder / "data" / "more.jsonl").write_text(jsonl(*rows("C")), "utf-8")
    with pytest.raises(ConfigError, match=r"teacher of some files is not given \(found 'data/rows"):
        init_teacher_set("data", teacher={"C": "data/more.jsonl"}, output_path="x.yaml")


def test_a_file_in_its_teachers_name_needs_no_further_mention(folder: Path) -> None:
    Path("b.jsonl").write_text(jsonl(*rows("x")), "utf-8")
    new = init_teacher_set(teacher={"A": "data/rows.jsonl", "B": "b.jsonl"})
    assert read_yaml("my_teachers.yaml")["dataset_path"] == {
        "A": "data/rows.jsonl", "B": "b.jsonl",
    }  # fmt: skip
    assert new.teacher_set.teachers == ("A", "B")


def test_a_teacher_may_have_several_files(folder: Path) -> None:
    for name in ("a1", "a2", "b"):
        Path(f"{name}.jsonl").write_text(jsonl(*rows("x")), "utf-8")
    init_teacher_set(teacher=["A=a1.jsonl", "A=a2.jsonl", "B=b.jsonl"])
    assert read_yaml("my_teachers.yaml")["dataset_path"] == {
        "A": ["a1.jsonl", "a2.jsonl"], "B": "b.jsonl",
    }  # fmt: skip


def test_files_that_were_not_given_are_not_read(folder: Path) -> None:
    for name in ("r1", "qwq", "other"):
        Path(name).mkdir()
        own = [{"prompt": f"p {i} of all", "response": f"{name} {i}"} for i in range(3)]
        Path(name, "rows.jsonl").write_text(jsonl(*own), "utf-8")
    new = init_teacher_set("r1/rows.jsonl", "qwq/rows.jsonl", output_path="new/t.yaml")
    assert set(new.teacher_set.teachers) == {"r1", "qwq"}
    assert read_yaml("new/t.yaml")["dataset_path"] == ["../r1/rows.jsonl", "../qwq/rows.jsonl"]
    assert check_task("new/t.yaml").fingerprint == new.teacher_set.fingerprint


def test_a_linked_folder_may_hold_the_yaml(folder: Path) -> None:
    Path("deep/er").mkdir(parents=True)
    Path("link").symlink_to("deep/er")
    init_teacher_set("data/rows.jsonl", output_path="link/t.yaml")
    assert read_yaml("link/t.yaml")["dataset_path"] == "../../data/rows.jsonl"
    assert check_task("link/t.yaml").n_responses == 8


def test_what_is_unsure_of_a_proposal_that_does_not_load_is_shown(folder: Path) -> None:
    own = rows("A", "B", context="Some text of it.")
    for i, row in enumerate(own):
        row["question"] += f" Row {i}."
    Path("rows.jsonl").write_text(jsonl(*own), "utf-8")
    with pytest.raises(ProposalError) as caught:
        init_teacher_set("rows.jsonl")
    assert "# unsure: context may belong to the prompt" in caught.value.proposal


def test_columns_without_a_name_are_shown_in_quotes(folder: Path) -> None:
    text = "".join(f",{i},{t} says so it is,{t}\n" for i in range(3) for t in ("A", "B"))
    Path("rows.csv").write_text(",prompt,response,teacher\n" + text, "utf-8")
    Path("rows.csv").write_text(Path("rows.csv").read_text("utf-8").replace("\n,", "\n7,"), "utf-8")
    assert "columns not used: ''\n" in init_teacher_set("rows.csv").to_text()


def test_rows_that_cannot_be_used_are_named(folder: Path) -> None:
    own = rows("A", "B")
    own[3]["output"] = ""
    Path("rows.jsonl").write_text(jsonl(*own) + "{broken\n", "utf-8")
    text = init_teacher_set("rows.jsonl").to_text()
    assert "unusable rows: 1 of" in text
    assert "not valid JSON" in text


CASES = (
    "alpaca", "am_r1", "batch_output", "content_parts", "deepmath", "distilabel",
    "distilabel_grouped", "dolphin_r1", "grades", "limo", "mixture_of_thoughts", "nemotron",
    "openmathreasoning", "openthoughts3", "openthoughts_conversations", "openthoughts_metadata",
    "reasoning_content", "rsr_data",
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_public_layouts_are_read_as_by_their_own_yaml(
    shared: Path, folder: Path, name: str
) -> None:
    source = shared / "cases" / f"layout_{name}"
    if not source.is_dir():
        pytest.skip("no such case")
    shutil.copytree(source, folder / "case", ignore=shutil.ignore_patterns("*.yaml"))
    new = init_teacher_set("case")
    if name == "batch_output":  # its YAML is of another layout
        assert (len(new.teacher_set.prompts), new.teacher_set.n_responses) == (12, 24)
        return
    assert _content(new.teacher_set) == _content(load_teacher_set(source / "teachers.yaml"))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("gsm8k_long_cot", 1200),
        ("farel_logic", 945),
        ("agents_tau", 200),
        ("multiturn_mint", "differ before their last turn.*--turns all"),
    ],
)
def test_real_traces_are_read_or_refused(
    shared: Path, folder: Path, name: str, count: int | str
) -> None:
    file = str(shared / "data" / f"{name}.jsonl")
    if isinstance(count, str):
        with pytest.raises(ConfigError, match=count):
            init_teacher_set(file, output_path="t.yaml")
        return
    new = init_teacher_set(file, output_path="t.yaml")
    assert new.teacher_set.n_responses == count
    # None = the defaults of the long layout.
    whole = {"layout": "messages", "turns": "all"} if name == "agents_tau" else None
    assert read_yaml("t.yaml")["naturalness"] == whole
    assert new.detected.roles["correctness"] == "correct"


def _content(teacher_set: TeacherSet) -> Any:
    return sorted(
        [repr(p.messages), sorted(
            (r.teacher.lower(), r.sample, r.text, str(r.correct)) for r in p.responses
        )]
        for p in teacher_set.prompts
    )  # fmt: skip
