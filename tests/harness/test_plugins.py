"""A splitter or a loader that a YAML names is the one that scores its set."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from lnat_plugins.errors import ConfigError
from lnat_plugins.harness.requests import score_requests

from .lab import TEXTS, evaluate, hf, load, records, rows, save, write_set

PLUGIN = """\
from lnat_plugins import Loader, Splitter, hookimpl, tile

def split(text):
    return tile(text, [len(text) * i // {parts} for i in range(1, {parts})])

def read(path, shown):
    for line in path.read_text().splitlines():
        yield dict(zip(("prompt", "teacher", "response"), line.split("|")))

@hookimpl
def lnat_register(registry):
    registry.add_splitter(Splitter("parts", "1", split))
    registry.add_loader(Loader("bars", (), read))
"""
BLOCK = {"steps": "parts", "plugins": ["deep/parts.py"], "windows": [1]}


def write_plugin(folder: Path, parts: int) -> None:
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "parts.py").write_text(PLUGIN.format(parts=parts), encoding="utf-8")


def steps_by_text(found: dict[Any, Any], source: list[dict[str, Any]]) -> list[list[str]]:
    texts = {(row["prompt_id"], row["teacher"], 0): row["response"] for row in source}
    return [[texts[key][a:b] for a, b in record["spans"]] for key, record in found.items()]


def test_a_splitter_of_a_file_cuts_the_responses(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    write_plugin(tmp_path, 2)
    ours = rows(prompts=2)
    write_set(tmp_path, ours, block=BLOCK)
    results = evaluate(tmp_path, hf(model, tokenizer))
    found = records(results)
    assert {record["splitter"] for record in found.values()} == {"parts@1"}
    assert {len(steps) for steps in steps_by_text(found, ours)} == {2}
    line = json.loads(save(results, tmp_path / "out").read_text().splitlines()[0])
    first = line["arguments"]["gen_args_0"]
    assert set(first) == {"arg_0", "arg_1"}
    assert set(first["arg_1"]) == {"teacher", "sample", "settings"}
    assert first["arg_1"]["settings"]["splitter"] == "parts@1"
    assert "plugins" not in line["arguments"]["gen_args_0"]["arg_1"]["settings"]


def test_without_its_plugin_the_splitter_is_unknown(tmp_path: Path) -> None:
    write_set(tmp_path, rows(), block={"steps": "parts"})
    with pytest.raises(ConfigError, match="naturalness: steps: unknown steps setting"):
        load(tmp_path)
    write_set(tmp_path, rows(), block=BLOCK)
    with pytest.raises(ConfigError, match=r"naturalness: plugins: the file cannot be read"):
        load(tmp_path)


def test_a_loader_of_a_file_reads_the_rows(tmp_path: Path) -> None:
    write_plugin(tmp_path, 2)
    text = "".join(f"What?|{teacher}|{TEXTS[1]!r}\n" for teacher in ("QwQ", "R1"))
    (tmp_path / "rows.txt").write_text(text)
    write_set(tmp_path, [], block={**BLOCK, "loader": "bars"}, dataset_path="rows.txt")
    assert load(tmp_path).teacher_set.n_responses == 2


def requests(task: Any) -> list[Instance]:
    doc = task.test_docs()[0]
    return list(task.construct_requests(doc, "What?\n\n", metadata=("t", 0, 1)))


def test_two_sets_may_name_different_splitters_alike(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    """Same name, same version, same prompt: each response is cut by its own set's."""
    asked = []
    for parts in (2, 3):
        folder = tmp_path / str(parts)
        write_plugin(folder, parts)
        write_set(folder, rows(prompts=1), block=BLOCK)
        asked += requests(load(folder))
    replies = score_requests(hf(model, tokenizer), asked)
    assert [reply.record.n_steps for reply in replies] == [2, 2, 3, 3]


def test_requests_of_lm_evals_own_kind_know_the_built_in_splitters(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    write_set(tmp_path, rows(prompts=1), block={"steps": "line", "windows": [1]})
    ours = requests(load(tmp_path))
    plain = [
        Instance(**{f.name: getattr(one, f.name) for f in dataclasses.fields(Instance)})
        for one in ours
    ]
    lm = hf(model, tokenizer)
    assert [str(reply) for reply in score_requests(lm, plain)] == [str(reply) for reply in score_requests(lm, ours)]
