"""The shipped teacher sets load, here and in lm-eval; the listing shows what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
from lm_eval.tasks._index import Kind, TaskIndex

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import read_yaml
from lnat_plugins.steps import Splitter
from lnat_plugins.teacher_set import LOADERS, load
from lnat_plugins.teacher_set.catalog import check_task, list_tasks, shipped_folder
from lnat_plugins.teacher_set.config import parse_task
from lnat_plugins.teacher_set.keys import NaturalnessKeys
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
    entry = TaskIndex.entry_from_path(path)
    assert entry.kind is Kind.PY_TASK
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
    found = check_task(path)
    assert found.name == spec.name
    assert len(found.teachers) >= 2 and len(found.prompts) >= 3
    assert found.n_responses >= 2 * len(found.prompts)


def test_the_annotated_example_explains_every_key() -> None:
    config = read_yaml(FOLDER / "example_teachers.yaml")
    assert set(config["naturalness"]) == set(NaturalnessKeys.model_fields)
    found = check_task(FOLDER / "example_teachers.yaml")
    assert (found.teachers, found.n_responses) == (("terse", "careful", "chatty"), 9)
    assert found.dropped == {} and len(found.fingerprint) == 12


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


# listing and check

CLASS = "class: !function lnat_plugins.harness.NaturalnessTask\n"


def test_a_folder_lists_its_teacher_sets_and_skips_other_yaml(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.yaml").write_text(CLASS + "task: a\ndataset_path: {A: x, B: y}\n")
    (tmp_path / "b.yaml").write_text(CLASS + "task: b\n")
    (tmp_path / "gsm8k.yaml").write_text("task: gsm8k\n")
    good = {info.path.name: info for info in list_tasks([tmp_path])}
    assert set(good) == {"a.yaml", "b.yaml"}
    assert (good["a.yaml"].ok, good["a.yaml"].data) == (True, "A, B")
    assert not good["b.yaml"].ok and "`dataset_path` is missing" in good["b.yaml"].description
    with pytest.raises(ConfigError, match="no such file or folder"):
        list_tasks([tmp_path / "gone"])


def test_a_check_loads_as_a_run_would(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(jsonl(*two("p1"), *two("p2")[:1]))
    (tmp_path / "x.yaml").write_text(CLASS + "task: x\ndataset_path: rows.jsonl\n")
    found = check_task(tmp_path / "x.yaml")
    assert (len(found.prompts), found.n_responses, found.teachers) == (1, 2, ("A", "B"))
    assert found.dropped == {"the prompt has fewer than 2 teachers": 1}


SPLIT = "task: x\ndataset_path: rows.jsonl\nnaturalness: {steps: clauses%s}\n"


def test_a_listing_runs_no_plugin_and_does_not_check_its_splitter(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('run by a listing')")
    (tmp_path / "x.yaml").write_text(CLASS + SPLIT % ", plugins: [mine.py]")
    (tmp_path / "y.yaml").write_text(CLASS + SPLIT % "")
    trusted, unknown = list_tasks([tmp_path])
    assert trusted.ok
    assert not unknown.ok and "unknown steps setting" in unknown.description
    installed = {"clauses": Splitter("clauses", "1", lambda text: [(0, len(text))])}
    assert all(info.ok for info in list_tasks([tmp_path], installed))


def test_a_check_loads_with_the_given_function(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(jsonl(*two()))
    (tmp_path / "x.yaml").write_text(CLASS + SPLIT % "")
    clauses = Splitter("clauses", "1", lambda text: [(0, len(text))])
    found = check_task(tmp_path / "x.yaml", lambda spec: load(spec, {"clauses": clauses}))
    assert len(found.prompts) == 1
    with pytest.raises(ConfigError, match="unknown steps setting"):
        check_task(tmp_path / "x.yaml")
