"""The kinds of input. Each: from a generator and an empty folder to whatever comes of it."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from lnat_plugins.errors import LnatError, visible
from lnat_plugins.files import parse_yaml
from lnat_plugins.plugins import load_plugins
from lnat_plugins.ranking.reference import read_reference
from lnat_plugins.scores import Scores
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.samples import read_scored_sets
from lnat_plugins.selection import Selection, parse_selection
from lnat_plugins.steps import parse_steps
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set import load
from lnat_plugins.teacher_set.config import parse_task
from tests.fuzz.good_rows import BLOCKS, ROWS, USER
from tests.fuzz.plugin_answers import ask_plugin
from tests.fuzz.values import TEXTS, changed, damaged, value
from tests.helpers_samples import make_record, record_of, samples_line

TASK: Final[dict[str, Any]] = {
    "task": "t",
    "dataset_path": "rows.jsonl",
    "test_split": "train",
    "naturalness": {
        "layout": "long",
        "steps": "sentence",
        "windows": [4, "10%", "global"],
        "columns": {"prompt": "prompt", "teacher": "teacher"},
        "teachers": ["QwQ", "R1"],
        "min_teachers": 1,
        "metrics": ["local_naturalness"],
        "where": {"lang": ["en"]},
    },
}
FRAGMENTS: Final = (
    "task: t\n", "dataset_path: rows.jsonl\n", "naturalness:\n", "  steps: sentence\n",
    "  windows: [4, global]\n", "- a\n", "a: &a [x]\n", "b: [*a, *a]\n", "c: {<<: *a}\n",
    "include: t.yaml\n", "include: [a, b]\n", "? [a]\n", ": ", "!function a.b\n", "|\n  text\n",
    "'", '"\\ud83d"', "\t", "#", "---\n", "...\n", "%YAML 1.1\n", "2025-02-30\n", "0x1: 1\n",
    "{a: 1, a: 2}\n", "\x00", "\ufeff", "[", "]", "{", "}", "*b", "&b ", "!!binary x\n", "~\n",
)  # fmt: skip

REQUESTS: Final = [{"custom_id": "q", "body": {"messages": [USER], "tools": [{"name": "f"}]}}]


def read_yaml_text(rng: random.Random, folder: Path) -> Any:
    """A YAML's text, of fragments or of changed keys, up to its definition."""
    if rng.random() < 0.5:
        text = "".join(rng.choice(FRAGMENTS) for _ in range(rng.randrange(12)))
    else:
        try:
            text = yaml.safe_dump(changed(rng, TASK), allow_unicode=rng.random() < 0.5)
        except (yaml.YAMLError, RecursionError, UnicodeError):
            return None
    return parse_task(parse_yaml(text, folder / "t.yaml"), folder / "t.yaml")


def read_definition(rng: random.Random, folder: Path) -> Any:
    """A definition as a program gives it."""
    config = changed(rng, TASK, rng.choice((0, 1, 1, 2)))
    if rng.random() < 0.2 and isinstance(config, dict):
        config["naturalness"] = {"budget": changed(rng, {"goal": "best", "error": 0.05, "top": 2})}
    return parse_task(config if isinstance(config, Mapping) else {"task": config})


def _dump(rng: random.Random, rows: Any) -> bytes:
    rows = rows if isinstance(rows, list) else [rows]
    lines = [json.dumps(one, ensure_ascii=rng.random() < 0.7) for one in rows]
    return damaged(rng, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))


def read_rows(rng: random.Random, folder: Path) -> Any:
    """Rows of any layout, in a file of any format, up to the loaded set."""
    layout = rng.choice([*ROWS])
    rows = changed(rng, ROWS[layout] * rng.choice((1, 1, 2)))
    block = {"layout": layout, "min_teachers": 1, **BLOCKS.get(layout, {})}
    block |= {"steps": "supplied_or_sentence"} if rng.random() < 0.3 else {}
    suffix = rng.choice((".jsonl", ".jsonl", ".jsonl.gz", ".json", ".csv", ".tsv", ".parquet"))
    path = folder / f"rows{suffix}"
    if suffix == ".json":
        whole = rng.choice((rows, {"train": rows}, {"a": rows, "b": rows}))
        text = json.dumps(whole, ensure_ascii=rng.random() < 0.7)
        path.write_bytes(damaged(rng, text.encode("utf-8", "surrogatepass")))
    else:
        text_of = _dump(rng, rows)
        path.write_bytes(
            damaged(rng, gzip.compress(text_of, 1)) if suffix.endswith(".gz") else text_of
        )
    (folder / "p.jsonl").write_bytes(_dump(rng, changed(rng, REQUESTS)))
    config = {"task": "t", "dataset_path": path.name, "naturalness": block}
    return load(parse_task(config, folder / "t.yaml"))


LINE: Final = samples_line("p0", [make_record("QwQ"), make_record("R1")])


def read_samples(rng: random.Random, folder: Path) -> Any:
    """Lines of a samples file with changed prompts and records, up to the ranking."""
    lines = []
    for prompt in range(rng.choice((1, 2))):
        line = copy.deepcopy(LINE)
        line["doc"]["prompt_id"] = f"p{prompt}"
        line["doc"] = changed(rng, line["doc"], rng.choice((0, 0, 0, 1, 2)))
        few = (0, 0, 0, 1)
        records = [changed(rng, json.loads(reply[0]), rng.choice(few)) for reply in line["resps"]]
        line["resps"] = changed(rng, [[json.dumps(one)] for one in records], rng.choice((0, 0, 1)))
        lines.append(changed(rng, line, rng.choice((0, 0, 0, 1))))
    path = folder / "samples_t_2025-10-03T12-00-00.000001.jsonl"
    path.write_bytes(_dump(rng, lines))
    found = read_scored_sets([path])
    for scored in found if rng.random() < 0.3 else ():
        board = Scores(scored, load_plugins(), None).leaderboard(
            ["local_naturalness"], bootstrap_iters=20
        )
        assert visible(board.to_markdown(), keep="\n") == board.to_markdown()
        json.dumps(board.as_dict(), allow_nan=False)
    return found


def read_record(rng: random.Random, folder: Path) -> Any:
    """A record as it stands in a samples file or in a cache; what is read can be written."""
    record = record_of("A", -1.0) if rng.random() < 0.5 else make_record()
    raw = json.dumps(changed(rng, json.loads(record.to_json())))
    read = StepSums.from_json(raw, "a line")
    return StepSums.from_json(read.to_json())


CHOSEN: Final[dict[str, Any]] = {
    "strategy": "top_k", "metric": "local_naturalness", "window": 4, "k": 3, "seed": 1,
    "require_correct": True, "max_length": 100, "teacher_mix": {"A": 1}, "columns": {"a": "b"},
}  # fmt: skip


def read_block(rng: random.Random, folder: Path) -> Any:
    """A `selection:` block."""
    block = changed(rng, {k: CHOSEN[k] for k in rng.sample([*CHOSEN], rng.randrange(6))})
    registry = load_plugins().registry
    return parse_selection(
        block if isinstance(block, Mapping) else {"strategy": block},
        metrics=registry.metrics, strategies=registry.strategies,
    )  # fmt: skip


STORED: Final[list[dict[str, Any]]] = []


def read_stored(rng: random.Random, folder: Path) -> Any:
    """A stored selection."""
    if not STORED:
        from tests.plugins import lab

        plugins = load_plugins()
        chosen = plugins.select(lab.POOL, lab.Student(), lab.spec(strategy="best"))
        STORED.append(json.loads(json.dumps(chosen.as_dict(), default=str)))
    return Selection.from_dict(changed(rng, STORED[0]), "chosen/selection.json")


def read_words(rng: random.Random, folder: Path) -> Any:
    """Short words: windows, splitters, a reference."""
    word = value(rng, 1)
    act = rng.randrange(3)
    if act == 0:
        words = tuple(map(str, word)) if isinstance(word, list) else (str(word),)
        return parse_windows(words, "windows")
    if act == 1:
        return parse_steps(str(word), "steps")
    text = "".join(rng.choice(("A", "B", ">", "=", " ", str(word))) for _ in range(6))
    return read_reference(text, ["A", "B"])


def cut_text(rng: random.Random, folder: Path) -> Any:
    """A response's text by every splitter: the steps tile it."""
    text = "".join(rng.choice((*TEXTS, ". ", "\n\n", "```\n", "$$", "1. ")) for _ in range(20))
    for name in ("sentence", "line", "paragraph", "turn", "tokens:3"):
        spec = parse_steps(name)
        if spec.splitter is not None and text:
            spans = spec.splitter.cut(text)
            assert "".join(text[start:end] for start, end in spans) == text
    return None


KINDS: Final[dict[str, Callable[[random.Random, Path], Any]]] = {
    "yaml": read_yaml_text,
    "definition": read_definition,
    "rows": read_rows,
    "samples": read_samples,
    "record": read_record,
    "block": read_block,
    "stored": read_stored,
    "words": read_words,
    "text": cut_text,
    "plugin": ask_plugin,
}


def attempt(kind: str, rng: random.Random, folder: Path) -> str:
    """One input: "" if it works, else the error's line.

    Raises AssertionError where the error is more than a line, and whatever else is raised.
    """
    try:
        KINDS[kind](rng, folder)
    except LnatError as error:
        line = str(error)
        assert line == visible(line) and line.endswith("."), repr(line)
        assert len(line) < 3_200, len(line)
        return line
    return ""
