"""A package that somebody else could have written works everywhere, once it is installed."""

from __future__ import annotations

import bz2
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import load_teacher_set
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.plugins import load_plugins
from lnat_plugins.selection import parse_selection
from tests.harness.lab import CLASS, TASK, evaluate, hf, records, save
from tests.helpers_students import student, tokenizer

from . import lab

LNAT = "import sys; from lnat_plugins.cli import main; sys.exit(main())"
YAML = f"task: {TASK}\ndataset_path: rows.jsonl.bz2\nnaturalness: {{steps: shouts}}\n"
TEXTS = {"QwQ": "Two! Three! So five.", "R1": "Five, of course.", "DSQ": "It is 5! Done!"}


def lnat(*arguments: str, site: Path | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = {"PYTHONPATH": str(site)} if site else {}
    return subprocess.run(
        [sys.executable, "-c", LNAT, *arguments],
        env={**os.environ, **path},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A teacher set that needs the package's splitter and its loader, and does not name it."""
    rows = [
        {"prompt_id": f"p{i}", "prompt": f"{i}?", "teacher": teacher, "response": text}
        for i in range(2)
        for teacher, text in TEXTS.items()
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl.bz2").write_bytes(bz2.compress(lines.encode()))
    (tmp_path / f"{TASK}.yaml").write_text(CLASS + YAML, encoding="utf-8")
    return tmp_path


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process sees the package too."""
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(sys, "argv", ["pytest"])


def test_the_listing_shows_it(site: Path, tmp_path: Path) -> None:
    done = lnat("plugins", site=site, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(
        "shouting\n"
        "    from: entry point of lnat-shouting-plugin 0.1.0\n"
        "    implements: lnat_register\n"
        "    splitters: shouts\n"
        "    metrics: weakest_step\n"
        "    strategies: best_quiet\n"
        "    loaders: jsonl_bz2\n"
    )
    assert "shouting" not in lnat("plugins", site=None, cwd=tmp_path).stdout


def test_a_teacher_set_uses_it(folder: Path, site: Path) -> None:
    check = ("check", f"{TASK}.yaml")
    done = lnat(*check, site=site, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "teacher DSQ: 2 responses" in done.stdout
    assert "unknown steps setting" in lnat(*check, site=None, cwd=folder).stderr


@pytest.mark.usefixtures("installed")
def test_a_program_uses_it(folder: Path) -> None:
    assert [one.name for one in load_plugins().loaded[1:]] == ["shouting"]
    assert load_teacher_set(folder / f"{TASK}.yaml").n_responses == 6


@pytest.mark.usefixtures("installed")
def test_a_wrong_row_is_the_files_fault(folder: Path) -> None:
    (folder / "rows.jsonl.bz2").write_bytes(bz2.compress(b'{"prompt": "p"'))
    with pytest.raises(DataError, match="^rows.jsonl.bz2 row 1: not valid JSON"):
        load_teacher_set(folder / f"{TASK}.yaml")
    (folder / "rows.jsonl.bz2").write_bytes(b"not compressed")
    with pytest.raises(
        DataError, match="^rows.jsonl.bz2: the file cannot be read: Invalid data stream"
    ):
        load_teacher_set(folder / f"{TASK}.yaml")


@pytest.mark.usefixtures("installed")
def test_lm_eval_scores_its_steps_and_rank_its_metric(folder: Path, site: Path) -> None:
    results = evaluate(folder, hf(student("llama"), tokenizer()))
    found = records(results)
    spans = found["p0", "QwQ", 0]["spans"]
    assert [TEXTS["QwQ"][start:end] for start, end in spans] == ["Two! ", "Three! ", "So five."]
    assert {record["splitter"] for record in found.values()} == {"shouts@1"}
    sums, tokens = found["p1", "QwQ", 0]["sums"]["4"], found["p1", "QwQ", 0]["tokens"]
    samples = save(results, folder / "out")

    out = ("--output_path", "ranked", "--bootstrap_iters", "10")
    rank = ("rank", str(samples), "--metric", "weakest_step", *out)
    done = lnat(*rank, site=site, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "steps: shouts (shouts@1)" in done.stdout
    assert "metric: weakest_step, window 4 (nats per token, higher is better)" in done.stdout
    ranking = json.loads((folder / "ranked" / "ranking.json").read_text())["rankings"][0]
    means = {line["teacher"]: line["mean"] for line in ranking["ranking"]["teachers"]}
    other = found["p0", "QwQ", 0]
    lowest = [
        min(total / count for total, count in zip(*pair, strict=True))
        for pair in ((sums, tokens), (other["sums"]["4"], other["tokens"]))
    ]
    assert means["QwQ"] == pytest.approx(sum(lowest) / 2)
    assert "unknown metric 'weakest_step'" in lnat(*rank, site=None, cwd=folder).stderr


@pytest.mark.usefixtures("installed")
def test_a_selection_uses_its_strategy() -> None:
    plugins = load_plugins()

    def choose(**block: Any) -> Any:
        spec = parse_selection(
            {"strategy": "best_quiet", **block},
            metrics=plugins.registry.metrics,
            strategies=plugins.registry.strategies,
        )
        return plugins.select(lab.POOL, lab.Student(), spec)

    found = choose()
    assert found.indices == (1, 3)
    assert found.reasons == {0: "too loud: 2 exclamation marks", 2: "too loud: 1 exclamation marks"}
    assert choose(max_shouts=1).indices == (1, 2)
    assert choose(max_shouts=1).reasons[3] == "another quiet response scored higher"
    with pytest.raises(ConfigError, match="`max_shouts` must be a whole number, 0 or more"):
        choose(max_shouts=-1)
