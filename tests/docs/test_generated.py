"""The tables that `docs/generate.py` writes are those of the code, and every name is on a page."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

import lnat_plugins
from lnat_plugins.metrics import METRICS
from lnat_plugins.selection.spec import SelectionKeys
from lnat_plugins.study.spec import EvaluationKeys, StudyKeys
from lnat_plugins.teacher_set.keys import NaturalnessKeys


@pytest.fixture(scope="module")
def generate(repo: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", repo / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo / "docs"))
        spec.loader.exec_module(module)
    return module


def words(text: str) -> list[str]:
    """Without line breaks, which argparse sets by the version of Python."""
    return text.split()


def test_every_page_is_as_it_would_be_written(generate: ModuleType) -> None:
    pages = generate.pages()
    assert len(pages) > 15
    for path, text in pages.items():
        assert words(text) == words(path.read_text(encoding="utf-8")), f"{path}: docs/generate.py"


def test_every_block_is_on_a_page(generate: ModuleType, repo: Path) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (repo / "docs").rglob("*.md"))
    assert [name for name in generate.BLOCKS if f"<!-- generated: {name} -->" not in text] == []


@pytest.mark.parametrize("model", [NaturalnessKeys, SelectionKeys, StudyKeys, EvaluationKeys])
def test_every_key_says_what_it_means(generate: ModuleType, model: type[BaseModel]) -> None:
    assert set(generate.descriptions(model)) == set(model.model_fields)


def test_every_public_name_is_in_the_reference(generate: ModuleType) -> None:
    told = {name.rpartition(".")[2] for names in generate.API.values() for name in names}
    assert set(lnat_plugins.__all__) - told == {"__version__", "hookimpl"}


def test_every_metric_has_a_formula(generate: ModuleType) -> None:
    assert set(generate._FORMULA) == set(METRICS)


def test_a_table_that_lags_behind_is_caught(generate: ModuleType) -> None:
    page = "<!-- generated: options -->\n| option |\n<!-- end -->\n"
    new = generate.generated(page)
    assert "`budget`" in new and new != page and generate.generated(new) == new


def test_kinds_are_in_words(generate: ModuleType) -> None:
    assert generate.kind(int | None) == "a whole number"
    assert generate.kind(list[str] | dict[str, str]) == "a list or a mapping"
    assert generate.default(False) == "`false`" and generate.default(()) == "–"


def test_tables_of_the_evidence_fit_a_page(repo: Path) -> None:
    """On a screen 1,200 pixels wide the site leaves some 740 to a table."""
    text = (repo / "docs" / "evidence.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 100
    assert max(map(len, rows)) <= 135 and max(row.count("|") for row in rows) <= 9


def test_the_readme_has_the_measured_gains(repo: Path) -> None:
    measured = json.loads((repo / "examples/study/measured/_made_up.json").read_text("utf-8"))
    gains = {(g["selection"], g["over"]): g["gain"] for g in measured["together"]["gains"]}
    text = (repo / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| a row of each prompt") :].split("\n\n")[0].splitlines()[2:]
    arms = (
        "local",
        "local_correct",
        "global",
        "global_correct",
        "best_lark",
        "best_rsr",
    )
    assert len(table) == len(arms)
    for line, arm in zip(table, arms, strict=True):
        for cell, over in zip(line.split("|")[2:4], ("random", "best teacher"), strict=True):
            found = [float(number.replace("−", "-")) for number in re.findall(r"[−+]?\.\d+", cell)]
            expected = [gains[arm, over][name] for name in ("value", "low", "high")]
            assert found == pytest.approx(expected, abs=6e-4), (arm, over)
