"""Scores the bundled traces with `hf` and with vLLM, in this process; JSON on the last line.

    python tests/vllm/compare.py STUDENT PROMPTS TEACHERS

`run.py` calls it, once with each of vLLM's two model runners.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from lnat_plugins import load_teacher_set, score
from lnat_plugins.files import bundled_student
from lnat_plugins.harness import requests
from lnat_plugins.harness.loglikelihood import LoglikelihoodBackend
from lnat_plugins.scoring.backend import Backend

WINDOWS = ("0", "1", "4", "10%", "global", "4/8")
LONGEST = 2048
BLOCK = 32
Sums = dict[tuple[Any, ...], tuple[float | None, int]]
"""(prompt, teacher, sample, window, step) -> its sum and its tokens."""


def sums_of(records: Mapping[tuple[Any, ...], Mapping[str, Any]]) -> Sums:
    """Every step's."""
    return {
        (*key, window, step): (value, record["tokens"][step])
        for key, record in records.items()
        for window in WINDOWS
        for step, value in enumerate(record["sums"].get(window) or ())
    }


def by_harness(lm: Any, folder: Path, choose: Callable[[Any], Backend]) -> dict[str, Any]:
    """What lm-eval's task gives with that back end."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    used: list[Backend] = []

    def chosen(model: Any) -> Backend:
        used.append(choose(model))
        return used[-1]

    before, requests.choose_backend = requests.choose_backend, chosen
    try:
        begin = time.perf_counter()
        found = simple_evaluate(
            model=lm, tasks=["traces"], apply_chat_template=True, bootstrap_iters=0,
            task_manager=TaskManager(include_defaults=False, include_path=str(folder)),
        )  # fmt: skip
        seconds = time.perf_counter() - begin
    finally:
        requests.choose_backend = before
    (backend,) = used
    records = {
        (sample["doc"]["prompt_id"], row["teacher"], row["sample"]): json.loads(str(reply[0]))
        for sample in found["samples"]["traces"]
        for row, reply in zip(sample["doc"]["responses"], sample["resps"], strict=True)
    }
    return {
        "sums": sums_of(records), "path": backend.path, "tokens": backend.tokens_read,
        "seconds": seconds, "requests": getattr(getattr(backend, "engine", None), "requests", None),
    }  # fmt: skip


def by_program(llm: Any, folder: Path) -> dict[str, Any]:
    """What `score()` gives of the same prompts."""
    own = load_teacher_set(folder / "traces.yaml")
    begin = time.perf_counter()
    rows = score(llm, None, own).scored.rows
    seconds = time.perf_counter() - begin
    records = {
        (row.prompt_id, row.teacher, row.sample): json.loads(row.record.to_json()) for row in rows
    }
    return {"sums": sums_of(records), "path": rows[0].record.path, "seconds": seconds}


def gaps(found: Sums, known: Sums, windows: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Of each window how far the sums differ at most, in nats."""
    for window in windows:
        keys = [key for key in known if key[-2] == window]
        assert keys == [key for key in found if key[-2] == window]
        undefined = [key for key in keys if known[key][0] is None]
        pairs = [(found[key][0], *known[key]) for key in keys if key not in undefined]
        assert all(found[key][0] is None for key in undefined)
        assert pairs and all(value is not None for value, *_ in pairs)
        each = [(abs(value - other), n) for value, other, n in pairs]
        yield {
            "window": window, "sums": len(each), "step": max(gap for gap, _ in each),
            "token": max(gap / n for gap, n in each),
        }  # fmt: skip


def write_set(folder: Path, prompts: int, teachers: int) -> None:
    """The first of the bundled set, with all these windows."""
    import lnat_plugins.tasks

    data = Path(next(iter(lnat_plugins.tasks.__path__))) / "local_naturalness" / "teachers.jsonl"
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    for column, count in (("prompt_id", prompts), ("teacher", teachers)):
        kept = [*islice(dict.fromkeys(row[column] for row in rows), count)]
        rows = [row for row in rows if row[column] in kept]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "traces.jsonl").write_text(text, encoding="utf-8")
    block = f"{{sensitivity: none, windows: {json.dumps(WINDOWS)}}}"
    (folder / "traces.yaml").write_text(
        "class: !function lnat_plugins.harness.NaturalnessTask\ntask: traces\n"
        f"dataset_path: traces.jsonl\nnaturalness: {block}\n"
    )


def main(student: str, prompts: int, teachers: int) -> None:
    """`hf`, then vLLM: the runs of our plan, lm-eval's own requests, and `score()`."""
    from lm_eval.models.huggingface import HFLM
    from lm_eval.models.vllm_causallms import VLLM

    folder = Path.cwd()
    write_set(folder, prompts, teachers)
    name = str(bundled_student()) if student == "bundled" else student
    options = {"pretrained": name, "dtype": "float32"}
    plain = requests.choose_backend
    known = by_harness(HFLM(**options, device="cpu"), folder, plain)
    begin = time.perf_counter()
    # The cache holds blocks of 128 tokens on a CPU; the prompts here are shorter.
    lm = VLLM(
        **options, max_model_len=LONGEST, enforce_eager=True, max_num_seqs=64, block_size=BLOCK
    )
    loaded = time.perf_counter() - begin
    lm.model.generate([{"prompt_token_ids": [5, 6, 7]}], use_tqdm=False)
    found = {
        "lm_eval --model vllm": by_harness(lm, folder, plain),
        "score(vllm.LLM)": by_program(lm.model, folder),
    }
    # Compiled kernels only: as many tokens would take Triton's interpreter hours.
    if os.environ.get("TRITON_INTERPRET") != "1":
        found["requests of lm-eval"] = by_harness(lm, folder, LoglikelihoodBackend)
    result: dict[str, Any] = {"loaded": loaded, "hf": {**known, "sums": len(known["sums"])}}
    for way, one in found.items():
        sums = one.pop("sums")
        # lm-eval's own requests give the global score as one number, without its steps.
        windows = [name for name in WINDOWS if name != "global" or one["path"] != "loglikelihood"]
        result[way] = {**one, "windows": [*gaps(sums, known["sums"], windows)]}
    print("\n" + json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
