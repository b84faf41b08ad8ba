"""Files as large as wanted, as lm_eval writes them: a teacher set, samples and results.

A few prompts of made-up arithmetic are scored with the bundled student by lm_eval itself. Their
rows are then repeated under other prompts: the prompt's number changes, and with it the ids that
were read; every sum of a response is multiplied by one random factor near 1, so that no two are
equal. The numbers of single tokens stay those of the row that was scored.
"""

from __future__ import annotations

import base64
import json
import math
import random
import subprocess
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from _commands import LNAT
from transformers import AutoTokenizer

from lnat_plugins.files import bundled_student
from lnat_plugins.scoring.rows import ids_digest

TASK: Final = "many_prompts"
STUDENT: Final = "bundled_student"
_SEEDS: Final = 40
_SPREAD: Final = 0.05
_DATE: Final = "2026-01-01T00-00-00.000000"

_YAML: Final = """\
class: !function lnat_plugins.harness.NaturalnessTask
task: {task}
dataset_path: rows.jsonl
metadata:
  version: 1
"""
_STYLES: Final = (
    ("So {a} {sign} {b} = {c}.", "The answer is {c}."),
    ("Okay, {a} {sign} {b}... that makes {c}. Right?", "So it is {c}."),
    ("Next, the count goes from {a} to {c}, because {b} {verb}.", "In the end {c} are there."),
    ("{a} {sign} {b} = {c}", "{c}"),
    ("Wait, let me see: {b} {verb}. That turns {a} into {c}.", "Yes, {c}."),
)


def write_teacher_set(folder: Path, prompts: int, teachers: int, seed: int) -> Path:
    """`set.yaml` beside `rows.jsonl`, a row a response; the path of the YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = _seed_rows(teachers, seed)
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for i in range(prompts):
            for row in rows[i % _SEEDS]:
                own = {"prompt_id": _prompt_id(i), "prompt": _numbered(i, row["prompt"])}
                file.write(json.dumps({**row, **own}) + "\n")
    path = folder / "set.yaml"
    path.write_text(_YAML.format(task=TASK), encoding="utf-8")
    return path


def score_seed(folder: Path, teachers: int, seed: int) -> Path:
    """Score the prompts that are repeated, by lm_eval; the samples file."""
    task = write_teacher_set(folder, _SEEDS, teachers, seed)
    subprocess.run(
        [
            *LNAT, "eval", "--model", "hf", "--device", "cpu",
            "--model_args", f"pretrained={bundled_student()},dtype=float32",
            "--tasks", str(task), "--log_samples", "--output_path", str(folder / "out"),
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return next((folder / "out").rglob("samples_*.jsonl"))


def write_scores(scored: Path, folder: Path, prompts: int, seed: int) -> Path:
    """The samples and results of so many prompts, from those that were scored; the folder."""
    own = folder / STUDENT
    own.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in scored.read_text(encoding="utf-8").splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(bundled_student())
    records = [[json.loads(reply[0]) for reply in line["resps"]] for line in lines]
    ids = [_response_ids(own) for own in records]
    generator = np.random.default_rng(seed)
    totals: dict[str, float] = defaultdict(float)
    with (own / f"samples_{TASK}_{_DATE}.jsonl").open("w", encoding="utf-8") as file:
        for i in range(prompts):
            k = i % len(lines)
            factors = np.exp(_SPREAD * generator.normal(size=len(records[k]))).tolist()
            line = _repeated(lines[k], records[k], ids[k], i, factors, tokenizer)
            for name in line["metrics"]:
                totals[name] += line[name]
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    (found,) = scored.parent.glob("results_*.json")
    results = json.loads(found.read_text(encoding="utf-8"))
    results["results"][TASK] |= {f"{name},none": sum_ / prompts for name, sum_ in totals.items()}
    results["n-samples"][TASK] = {"original": prompts, "effective": prompts}
    about = results["configs"][TASK]["metadata"]["naturalness"]
    about |= {"prompts": prompts, "responses": prompts * len(records[0])}
    for one in about["unusable"].values():
        one["rows"] = prompts
    (own / f"results_{_DATE}.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    return folder


def write_long_scores(scored: Path, folder: Path, steps: int, traces: int) -> Path:
    """One prompt with so many traces, each of so many steps; the folder."""
    own = folder / STUDENT
    own.mkdir(parents=True, exist_ok=True)
    line = json.loads(scored.read_text(encoding="utf-8").splitlines()[0])
    replies, responses = [], []
    for i in range(traces):
        record, response = json.loads(line["resps"][i][0]), line["doc"]["responses"][i]
        replies.append([json.dumps(_lengthened(record, steps))])
        text = _repeated_text(response["response"], record, steps)
        responses.append({**response, "response": text})
    line |= {"resps": replies, "doc": {**line["doc"], "responses": responses}}
    path = own / f"samples_{TASK}_{_DATE}.jsonl"
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    return folder


def _seed_rows(teachers: int, seed: int) -> list[list[dict[str, Any]]]:
    """For each prompt that is scored, a row a teacher."""
    drawn = random.Random(seed)
    found = []
    for _ in range(_SEEDS):
        start, changes = drawn.randint(20, 90), [drawn.randint(-15, 30) or 1 for _ in range(4)]
        told = " ".join(f"Then {abs(n)} are {_verb(n)}." for n in changes)
        prompt = f"A box holds {start} pens. {told} How many pens are there?"
        found.append(
            [
                {
                    "teacher": f"teacher-{t}",
                    "response": _solved(start, changes, t),
                    "prompt": prompt,
                    "correct": drawn.random() < 0.9,
                }
                for t in range(teachers)
            ]
        )
    return found


def _solved(start: int, changes: Sequence[int], teacher: int) -> str:
    step, last = _STYLES[teacher % len(_STYLES)]
    said, count = [], start
    for n in changes:
        values = {"a": count, "b": abs(n), "c": count + n, "sign": "+-"[n < 0], "verb": _verb(n)}
        said.append(step.format(**values))
        count += n
    more = " I checked it." * (teacher // len(_STYLES))  # so that no two teachers write the same
    return "\n".join([*said, last.format(c=count) + more])


def _verb(n: int) -> str:
    return "put in" if n > 0 else "taken out"


def _prompt_id(i: int) -> str:
    return f"prompt-{i:06d}"


def _numbered(i: int, prompt: str) -> str:
    return f"{i:06d}. {prompt}"


def _response_ids(records: Sequence[dict[str, Any]]) -> list[np.ndarray]:
    packed = (record["token_values"]["ids"] for record in records)
    return [np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i4") for text in packed]


def _repeated(
    line: dict[str, Any], records: Sequence[dict[str, Any]], ids: Sequence[np.ndarray], i: int,
    factors: Sequence[float], tokenizer: Any,
) -> dict[str, Any]:  # fmt: skip
    """The line under another number, its sums multiplied by a factor a response."""
    prompt = _numbered(i, line["doc"]["prompt"].partition(". ")[2])
    delimiter = records[0]["settings"]["target_delimiter"]
    prompt_ids = tokenizer(prompt + delimiter, verbose=False)["input_ids"]
    replies = []
    for record, own, factor in zip(records, ids, factors, strict=True):
        digest = ids_digest(prompt_ids, own)
        replies.append([json.dumps(_scaled(record, factor, len(prompt_ids), digest))])
    doc = {**line["doc"], "prompt_id": _prompt_id(i), "prompt": prompt,
           "messages": [{"role": "user", "content": prompt}]}  # fmt: skip
    arguments = {
        name: {**one, "arg_0": prompt + delimiter} for name, one in line["arguments"].items()
    }
    by_teacher = dict(zip((one["teacher"] for one in records), factors, strict=True))
    values = {}
    for name in line["metrics"]:
        kind, _, teacher = name.partition("/")
        values[name] = line[name] * (by_teacher[teacher] if kind.endswith("naturalness") else 1)
    wins = [name for name in values if name.startswith("win_rate/")]
    best = max(wins, key=lambda name: values[f"local_naturalness/{name.partition('/')[2]}"])
    values |= {name: float(name == best) for name in wins}
    return {**line, **values, "doc_id": i, "doc": doc, "arguments": arguments, "resps": replies}


def _scaled(
    record: dict[str, Any], factor: float, prompt_tokens: int, digest: str
) -> dict[str, Any]:
    sums = {name: [one * factor for one in own] for name, own in record["sums"].items()}
    statistics = {
        name: [one * factor for one in own] for name, own in record["step_statistics"].items()
    }
    return {
        **record, "sums": sums, "totals": {name: math.fsum(own) for name, own in sums.items()},
        "step_statistics": statistics, "prompt_tokens": prompt_tokens, "ids_digest": digest,
    }  # fmt: skip


def _lengthened(record: dict[str, Any], steps: int) -> dict[str, Any]:
    """The record of a response that says its steps again and again; without its tokens."""
    spans = list(_spans(record["spans"], steps))

    def again(own: list[Any]) -> list[Any]:
        return [own[i % len(own)] for i in range(steps)]

    sums = {name: again(own) for name, own in record["sums"].items()}
    return {
        **record, "spans": spans, "tokens": again(record["tokens"]), "sums": sums,
        "totals": {name: math.fsum(own) for name, own in sums.items()}, "token_values": None,
        "step_statistics": {name: again(own) for name, own in record["step_statistics"].items()},
    }  # fmt: skip


def _spans(spans: Sequence[Sequence[int]], steps: int) -> Iterator[list[int]]:
    for i in range(steps):
        round_, k = divmod(i, len(spans))
        yield [round_ * spans[-1][1] + place for place in spans[k]]


def _repeated_text(text: str, record: dict[str, Any], steps: int) -> str:
    rounds, rest = divmod(steps, len(record["spans"]))
    return text * rounds + (text[: record["spans"][rest - 1][1]] if rest else "")
