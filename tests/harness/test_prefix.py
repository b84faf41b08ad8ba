"""A teacher set with a prefix in lm-eval: its table, its files, its cache, and `lnat rank`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.api import read_all_scores, read_scores
from lnat_plugins.cli import main
from lnat_plugins.errors import DataError
from tests.harness.lab import TASK, evaluate, hf, prompts_read, rows, save, write_set
from tests.helpers_students import student, tokenizer

FAST = ["--bootstrap_iters", "200"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of one set: `whole`, `part` (2 steps) and `other` (40 tokens, by --metadata)."""
    folder = tmp_path_factory.mktemp("runs")
    path = write_set(folder / "set", rows(prompts=12))
    for name, block, metadata in (
        ("whole", {}, None),
        ("part", {"prefix": "2 steps"}, None),
        ("other", {}, {"prefix": 40}),
    ):
        write_set(folder / "set", rows(prompts=12), block=block)
        found = evaluate(path.parent, hf(student("llama"), tokenizer()), metadata=metadata)
        (folder / f"{name}.json").write_text(json.dumps([*found["results"][TASK]]))
        save(found, folder / name)
    return folder


def test_lm_evals_table_names_the_prefix_beside_every_figure(out: Path) -> None:
    for name, prefix in (
        ("whole", "none"),
        ("part", "first 2 steps"),
        ("other", "first 40 tokens"),
    ):
        figures = [key for key in json.loads((out / f"{name}.json").read_text()) if "/" in key]
        assert figures and {key.partition(",")[2] for key in figures} == {prefix}


def test_the_samples_file_says_what_was_scored_and_what_there_is(out: Path) -> None:
    (path,) = out.glob("part/student/samples_*.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {line["filter"] for line in lines} == {"first 2 steps"}
    text = next(one for line in lines for one in line["filtered_resps"] if ", of " in one)
    assert ", 2 steps, " in text and " tokens, of " in text
    scores = read_scores(out / "part")
    assert scores.scored.settings["prefix"] == scores.scored.prefix == "2 steps"
    whole = read_scores(out / "whole")
    for name in ("n_tokens", "n_steps"):
        assert (scores.to_pandas()[name] == whole.to_pandas()[name]).all()
    assert not scores.to_pandas()["local_naturalness[4]"].equals(
        whole.to_pandas()["local_naturalness[4]"]
    )


def test_rank_reports_the_agreement_of_each_prefix_with_the_whole(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [str(out / name) for name in ("part", "whole", "other")]
    assert main(["rank", *sources, *FAST, "--output_path", str(tmp_path / "to")]) == 0
    printed = capsys.readouterr()
    first = printed.out.partition("\n\n")[0]
    assert first.startswith("The first 2 steps against whole responses, student student, local_")
    assert "Kendall's tau-b of both orders" in first and "12 prompts" in first
    assert "The first 40 tokens against whole responses" in printed.out
    assert "markers: skip, windows" in printed.out
    assert "markers: skip, prefix: 2 steps, windows" in printed.out
    assert "- Scores are of the first 2 steps of each response (" in printed.out
    document = json.loads((tmp_path / "to" / "ranking.json").read_text())
    assert [one["prefix"] for one in document["prefixes"]] == ["2 steps", "40 tokens"]
    assert [one["settings"].get("prefix") for one in document["rankings"]] == [
        None, "2 steps", "40 tokens",
    ]  # fmt: skip
    assert "students" not in document
    assert "The first 2 steps against" in (tmp_path / "to" / "ranking.md").read_text()
    # the next command is of one part only
    assert "next: lnat report" in printed.err and "part" not in printed.err.split("next:")[1]


def test_a_prefix_alone_says_how_its_agreement_is_measured(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--brief"]):
        assert main(["rank", str(out / "part"), *FAST, *more]) == 0
        printed = capsys.readouterr().out
        assert "of each response" in printed and "lnat rank PREFIX WHOLE" in printed
        assert "against whole responses" not in printed


def test_scores_of_a_prefix_and_of_the_whole_never_mix(out: Path, tmp_path: Path) -> None:
    sources = [out / "part", out / "whole"]
    assert [one.scored.prefix for one in read_all_scores(*sources)] == ["", "2 steps"]
    what = "several parts of the responses are scored here .*whole responses, the first 2 steps of"
    with pytest.raises(DataError, match=what):
        read_scores(*sources)
    # not in one file either
    texts = [next(one.rglob("samples_*.jsonl")).read_text(encoding="utf-8") for one in sources]
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text("".join(texts), encoding="utf-8")
    with pytest.raises(DataError, match="prefix: None, not 2 steps"):
        read_scores(mixed)


@pytest.mark.parametrize("command", ["report", "select"])
def test_other_commands_take_one_part(
    out: Path, command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = [command, str(out / "part"), str(out / "whole"), "--output_path", str(tmp_path / "x")]
    assert main(words) == 2
    assert "several parts of the responses are scored here" in capsys.readouterr().err


def test_a_report_of_a_prefix_says_so_and_what_it_left(out: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert main(["report", str(out / "part"), *FAST, "--output_path", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "Scores are of the first 2 steps of each response (" in text
    assert "of the first 2 steps" in text.partition("<svg")[2]
    assert "The first 2 steps; the other" in text


def test_a_choice_by_a_prefix_says_so(out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chosen"
    words = ["select", str(out / "part"), "--output_path", str(folder)]
    assert main([*words, "--strategy", "best"]) == 0
    stored = json.loads((folder / "selection.json").read_text())
    assert stored["settings"]["prefix"] == "2 steps"
    card = (folder / "README.md").read_text()
    assert '"prefix": "2 steps"' in card
    assert "Scores are of the first 2 steps of each response." in card


def test_the_cache_keeps_prefix_and_whole_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = {"use_cache": str(tmp_path / "cache")}
    lm: Any = hf(student("llama"), tokenizer())
    read = prompts_read(monkeypatch)
    counts = []
    for block in ({}, {"prefix": "2 steps"}, {"prefix": "3 steps"}, {"prefix": "2 steps"}):
        write_set(tmp_path / "set", rows(), block=block)
        evaluate(tmp_path / "set", lm, **cache)
        counts.append(len(read))
        read.clear()
    assert all(counts[:3]) and not counts[3]
