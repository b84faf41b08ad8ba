"""The shipped teacher sets load, here and in lm-eval; the index says what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import read_yaml
from lnat_plugins.steps import Splitter
from lnat_plugins.teacher_set import LOADERS, load
from lnat_plugins.teacher_set.catalog import check_task, list_tasks, shipped_folder
from lnat_plugins.teacher_set.config import parse_task
from lnat_plugins.teacher_set.sources import resolve
from tests.teacher_set.conftest import jsonl, two

FOLDER = shipped_folder() / "local_naturalness"
YAMLS = sorted(FOLDER.glob("*.yaml"))
LOCAL = ("local_naturalness", "local_naturalness_example")


def test_every_shipped_yaml_is_listed() -> None:
    tasks = {info.name: info for info in list_tasks()}
    assert sorted(info.path.name for info in tasks.values()) == [p.name for p in YAMLS]
    assert all(info.ok and info.description and info.data for info in tasks.values())
    assert set(LOCAL) < set(tasks)


@pytest.mark.parametrize("path", YAMLS, ids=lambda p: p.stem)
def test_a_shipped_yaml_is_one_that_lm_eval_lists(path: Path) -> None:
    index = pytest.importorskip("lm_eval.tasks._index")
    entry = index.TaskIndex.entry_from_path(path)
    assert entry.kind is index.Kind.PY_TASK
    assert entry.name == parse_task(read_yaml(path), path).name


def test_the_readme_names_every_task() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for info in list_tasks():
        assert f"`{info.name}`" in readme


@pytest.mark.parametrize("path", YAMLS, ids=lambda p: p.stem)
def test_a_shipped_yaml_with_local_data_loads_whole(path: Path) -> None:
    spec = parse_task(read_yaml(path), path)
    if spec.name not in LOCAL:
        pytest.skip("its data is on the hub")
    if not (FOLDER / str(spec.data.dataset_path)).exists():
        pytest.skip("its data file is not in this checkout")
    report = check_task(path)
    assert report.ok, report.error
    assert report.name == spec.name
    assert len(report.teachers) >= 2 and report.n_prompts >= 3
    assert sum(report.responses.values()) >= 2 * report.n_prompts


def test_the_annotated_example_explains_every_key() -> None:
    from lnat_plugins.teacher_set.config import _BLOCK

    config = read_yaml(FOLDER / "example_teachers.yaml")
    assert set(config["naturalness"]) == set(_BLOCK)
    report = check_task(FOLDER / "example_teachers.yaml")
    assert report.responses == {"terse": 3, "careful": 3, "chatty": 3}
    assert report.dropped == {} and len(report.fingerprint) == 12


def test_the_shipped_hub_sets_resolve_to_the_files_they_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = ["datasets/Umean/RSR_data/deepseek-r1-0528/short-sys_5k_gen1.json"]
    monkeypatch.setattr(huggingface_hub.HfFileSystem, "glob", lambda self, path: found)
    sets = {
        info.name: resolve(parse_task(read_yaml(info.path), info.path).data, LOADERS)
        for info in list_tasks()
        if info.name not in LOCAL
    }
    assert set(sets) == {"local_naturalness_rsr_math", "local_naturalness_science"}
    (rsr,) = sets["local_naturalness_rsr_math"]
    assert (rsr.kind, rsr.teacher, rsr.location) == (
        "hub_file",
        "deepseek-r1-0528",
        f"hf://{found[0]}",
    )
    (science,) = sets["local_naturalness_science"]
    assert (science.kind, science.location) == (
        "hub_dataset",
        "dvilasuero/natural-science-reasoning",
    )


# the index

CLASS = "class: !function lnat_plugins.harness.NaturalnessTask\n"


def test_a_folder_lists_its_teacher_sets_and_passes_over_other_yaml(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.yaml").write_text(CLASS + "task: a\ndataset_path: {A: x, B: y}\n")
    (tmp_path / "b.yaml").write_text(CLASS + "task: b\n")
    (tmp_path / "gsm8k.yaml").write_text("task: gsm8k\n")
    good = {info.path.name: info for info in list_tasks([tmp_path])}
    assert set(good) == {"a.yaml", "b.yaml"}
    assert (good["a.yaml"].ok, good["a.yaml"].data) == (True, "A, B")
    assert not good["b.yaml"].ok and "no data is named" in good["b.yaml"].description
    with pytest.raises(ConfigError, match="no such file or folder"):
        list_tasks([tmp_path / "gone"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: x\ndataset_path: rows.jsonl\n", "lm-eval would not run this.*Add the line `class"),
        (CLASS + "task: x\ndataset_path: gone.jsonl\n", r"gone\.jsonl: no such file"),
        (CLASS + "task: x\ndataset_path: rows.jsonl\nnaturalness: {windows: [4x]}\n", "window"),
        (CLASS + "task: x\ndataset_path: rows.jsonl\nnaturalness: {steps: tokens}\n", "tokens"),
        (CLASS + "task: [x\n", "not valid YAML"),
    ],
)
def test_a_check_gives_the_one_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rows.jsonl").write_text(jsonl(*two()))
    (tmp_path / "x.yaml").write_text(text)
    report = check_task(tmp_path / "x.yaml")
    assert not report.ok
    with pytest.raises(type(report.error), match=message):
        raise report.error


def test_a_check_counts_what_was_loaded_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(jsonl(*two("p1"), *two("p2")[:1]))
    (tmp_path / "x.yaml").write_text(CLASS + "task: x\ndataset_path: rows.jsonl\n")
    report = check_task(tmp_path / "x.yaml")
    assert (report.ok, report.n_prompts, report.responses) == (True, 1, {"A": 1, "B": 1})
    assert report.dropped == {"the prompt has fewer than 2 teachers": 1}


SPLIT = "task: x\ndataset_path: rows.jsonl\nnaturalness: {steps: clauses%s}\n"


def test_a_listing_runs_no_plugin_and_takes_its_splitter_on_trust(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('run by a listing')")
    (tmp_path / "x.yaml").write_text(CLASS + SPLIT % ", plugins: [mine.py]")
    (tmp_path / "y.yaml").write_text(CLASS + SPLIT % "")
    trusted, unknown = list_tasks([tmp_path])
    assert trusted.ok
    assert not unknown.ok and "unknown steps setting" in unknown.description
    installed = {"clauses": Splitter("clauses", "1", lambda text: [(0, len(text))])}
    assert all(info.ok for info in list_tasks([tmp_path], installed))


def test_a_check_loads_as_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(jsonl(*two()))
    (tmp_path / "x.yaml").write_text(CLASS + SPLIT % "")
    clauses = Splitter("clauses", "1", lambda text: [(0, len(text))])
    report = check_task(tmp_path / "x.yaml", lambda spec: load(spec, {"clauses": clauses}))
    assert report.ok and report.n_prompts == 1
    assert "unknown steps setting" in str(check_task(tmp_path / "x.yaml").error)
