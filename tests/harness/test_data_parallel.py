"""Two processes that share the prompts between them give the figures of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.scoring.samples import read_scored_set
from tests.helpers_ranks import launch
from tests.helpers_students import assert_near

from .lab import TEXTS, evaluate, figures, hf, rest, rows, save, write_set

SETS: Mapping[str, list[dict[str, Any]]] = {
    "an even number of prompts": rows(prompts=4),
    "an odd number of prompts": rows(prompts=3),
    "a prompt with more responses": [
        *rows(prompts=3),
        *({**row, "sample": 1, "response": TEXTS[1]} for row in rows(prompts=1)),
    ],
    "one teacher on the first rank only": [
        *rows(prompts=3),
        {**rows(prompts=1)[0], "teacher": "s1"},
    ],
    "one teacher on the second rank only": [
        *rows(prompts=3),
        {**rows(prompts=2)[2], "teacher": "s1"},
    ],
    "metrics of every scope": rows(prompts=7),
    "every metric": rows(prompts=5),
}
METRICS: Mapping[str, Any] = {
    "metrics of every scope": ["rsr", "lark", "aslec_casl", "scas", "ifd"],
    "every metric": "all",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> dict[str, Path]:
    """The sets, each evaluated by two processes in one launch."""
    folders = {name: tmp_path_factory.mktemp("set") for name in SETS}
    for name, folder in folders.items():
        found = [{"sample": 0, **row} for row in SETS[name]]
        metrics = METRICS.get(name)
        write_set(folder, found, block={"metrics": metrics} if metrics else None)
    first, *_ = folders.values()
    launch("tests.harness.rank", [str(folder) for folder in folders.values()], first, repo)
    return folders


@pytest.mark.parametrize("name", SETS)
def test_two_processes_give_the_figures_of_one(
    name: str, folders: dict[str, Path], model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    alone = evaluate(folders[name], hf(model, tokenizer))
    expected = figures(alone)
    together = json.loads((folders[name] / "figures.json").read_text())
    _assert_same_rest(together.pop("rest"), rest(alone))
    assert together.keys() == expected.keys()
    for figure, value in expected.items():
        if value == "N/A":
            assert together[figure] == value
        else:
            assert_near(together[figure], value)


def _assert_same_rest(one: Any, other: Any) -> None:
    assert one.keys() == other.keys()
    for name, by_teacher in other.items():
        for teacher, value in by_teacher.items():
            if value is None:
                assert one[name][teacher] is None
            else:
                assert_near(one[name][teacher], value, 1e-4 * max(1.0, abs(value)))


@pytest.mark.parametrize("name", SETS)
def test_their_samples_file_holds_every_response_once(
    name: str, folders: dict[str, Path], model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    together = read_scored_set([folders[name] / "out"])
    alone = read_scored_set([save(evaluate(folders[name], hf(model, tokenizer)), tmp_path)])
    found = {(row.prompt_id, row.teacher, row.sample): row.record for row in together.rows}
    assert len(found) == len(together.rows) == len(SETS[name])
    for row in alone.rows:
        record = found[row.prompt_id, row.teacher, row.sample]
        assert_near(record.sums["4"], row.record.sums["4"])
        assert_near(record.totals["global"], row.record.totals["global"])
