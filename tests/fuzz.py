"""Random input for everything that is read from outside: it works, or it is one line of an error.

    python -m tests.fuzz 20000 --seed 1      (`make fuzz`)

Good input is changed at random places by values that are hard to hold: nothing, halves of
characters, terminal escapes, numbers beyond floats, lists for text. Each kind of input is a
function of a `random.Random`, so that an input is known by its kind and its number.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import math
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
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
from tests.helpers_samples import make_record, record_of, samples_line

TEXTS: Final = (
    "", " ", "a", "A", "two words", "a\nb", "\r\n", "\t", "\0", "\x1b[2J", "\ud83d", "\u202eabc",
    "\u2028", "中文。", "🙂", "x" * 300, "<think>a</think>\n\nb", "</think>", "null",
    "true", "1", "-1",
    "1e999", "NaN", "10%", "4/8", "global", "..", "a/b", "~", "~nobody_here/x", "/dev/zero",
    "rows.jsonl", "*.jsonl", "hf://x", "%", "{think}", "'", '"', "[", "{", "&a", "*a", "!!python/x",
    "p", "teacher", "response", "prompt", "messages", "QwQ", "R1", "sentence", "tokens:0",
    "tokens:4", "supplied", "nested", "wide", "batch", "best", "top_k", "a,b", "a>b", "A=B>C",
)  # fmt: skip
SCALARS: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 2, 3.5, -0.0, 1e308, math.nan, math.inf, -math.inf, 10**400, 2**63,
)  # fmt: skip


def value(rng: random.Random, depth: int = 3) -> Any:
    """A value of any JSON kind."""
    kind = rng.random()
    if depth and kind < 0.12:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if depth and kind < 0.24:
        return {rng.choice(TEXTS): value(rng, depth - 1) for _ in range(rng.randrange(4))}
    if kind < 0.26:
        nested: Any = rng.choice(SCALARS)
        for _ in range(rng.choice((5, 120, 300))):
            nested = [nested]
        return nested
    if kind < 0.6:
        return rng.choice(SCALARS)
    if kind < 0.9:
        return rng.choice(TEXTS)
    return "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x11000))))
                   for _ in range(rng.randrange(12)))  # fmt: skip


def changed(rng: random.Random, good: Any, times: int | None = None) -> Any:
    """A copy of a value, changed at random places."""
    found = copy.deepcopy(good)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4)) if times is None else times):
        parent, key = _place(rng, found)
        if parent is None:
            return value(rng)
        act = rng.random()
        if act < 0.6:
            parent[key] = value(rng)
        elif act < 0.75:
            del parent[key]
        elif isinstance(parent, dict):
            parent[rng.choice(TEXTS)] = parent[key] if act < 0.9 else value(rng)
        else:
            parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
    return found


def _place(rng: random.Random, root: Any) -> tuple[Any, Any]:
    """A container and a key or index of it; (None, None) for the root or an empty container."""
    parent, key, here = None, None, root
    while isinstance(here, dict | list) and here and (parent is None or rng.random() < 0.7):
        parent = here
        key = rng.choice([*here]) if isinstance(here, dict) else rng.randrange(len(here))
        here = parent[key]
    return parent, key


def damaged(rng: random.Random, text: bytes) -> bytes:
    """Bytes, mostly as they are; else cut, doubled or overwritten at a random place."""
    if rng.random() < 0.75 or not text:
        return text
    at = rng.randrange(len(text))
    act = rng.randrange(4)
    if act == 0:
        return text[:at]
    if act == 1:
        return text[:at] + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 4))) + text[at:]
    if act == 2:
        return text[:at] + text[rng.randrange(len(text)) :]
    return text[:at] + rng.choice((b'"', b"{", b"}", b"[", b",", b"\n", b"\0", b"\xff")) + text[at:]


# Each kind: from a generator and an empty folder to whatever comes of it.

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

USER: Final = {"role": "user", "content": "What is 2 + 3?"}
ROWS: Final[dict[str, list[dict[str, Any]]]] = {
    "long": [
        {"prompt": "p", "teacher": t, "response": "One. Two.", "sample": 0, "correct": True,
         "prompt_id": "p0", "reasoning_content": "Hm.", "system": "s", "steps": ["One. ", "Two."]}
        for t in ("QwQ", "R1")
    ],
    "prompt_completion": [{"prompt": [USER], "teacher": t, "completion": "5."} for t in "AB"],
    "messages": [
        {"teacher": t, "messages": [USER, {"role": "assistant", "content": "5."}]} for t in "AB"
    ],
    "nested": [
        {"prompt": "p", "responses": [{"teacher": "A", "response": "5."}, "Five."],
         "teacher": ["A", "B"], "correct": [True, None]}
    ],
    "wide": [{"prompt": "p", "a": "5.", "b": ["Five.", "5!"], "ok": [True, False]}],
    "batch": [
        {"custom_id": "q", "teacher": t,
         "response": {"body": {"choices": [{"message": {"content": "5."}, "index": 0}]}}}
        for t in "AB"
    ],
}  # fmt: skip
BLOCKS: Final[dict[str, dict[str, Any]]] = {
    "wide": {"columns": {"responses": {"A": "a", "B": "b"}, "correct": {"B": "ok"}}},
    "batch": {"prompts": "p.jsonl"},
}
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


def main() -> int:
    """Inputs of every kind in turn; the kind and number of each that breaks. Exit code 1 if any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=20_000)
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--kind", choices=[*KINDS])
    parser.add_argument("--slow", type=float, default=2.0, help="seconds that an input may take")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    args = parser.parse_args()
    kinds = [args.kind] if args.kind else [*KINDS]
    worked: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    broke: Counter[str] = Counter()
    begun = time.monotonic()
    for number in range(args.first, args.first + args.count):
        kind = kinds[number % len(kinds)]
        with tempfile.TemporaryDirectory(prefix="lnat-fuzz-") as folder:
            start = time.process_time()
            try:
                line = attempt(kind, random.Random(f"{args.seed} {kind} {number}"), Path(folder))
                if (took := time.process_time() - start) > args.slow:
                    raise AssertionError(f"it takes {took:.1f} s")
            except Exception as error:  # noqa: BLE001 - what is looked for
                broke[kind] += 1
                last = traceback.extract_tb(error.__traceback__)[-1]
                name = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
                print(f"{kind} {number}: {name}: {str(error)[:200]!r}")
            else:
                (refused if line else worked)[kind] += 1
    seconds = time.monotonic() - begun
    for kind in kinds:
        print(f"{kind}: {worked[kind]} work, {refused[kind]} refused, {broke[kind]} break")
    print(f"{args.count} inputs in {seconds:.0f} s, seed {args.seed}: {broke.total()} break")
    return int(bool(broke))


if __name__ == "__main__":
    sys.exit(main())
