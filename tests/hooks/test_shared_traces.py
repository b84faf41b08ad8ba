"""Real traces, a real student: exactly the rows chosen from them are trained on."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTTrainer

from lnat_plugins.cli import main as lnat
from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer, attach
from lnat_plugins.selection import Selection
from lnat_plugins.selection.training_set import read_selection

from .builders import sft_config, stored, write_config

LOCAL = {"strategy": "best", "windows": [4], "require_correct": True}
GLOBAL = LOCAL | {"metric": "global_naturalness", "windows": ["global"]}


@pytest.fixture(scope="module")
def rows(shared: Path) -> Dataset:
    """The three prompts with the shortest traces, the two shortest of each."""
    by_prompt: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with (shared / "data" / "gsm8k_long_cot.jsonl").open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            by_prompt[row["prompt_id"]].append(row)
    shortest = sorted(by_prompt.values(), key=lambda own: sum(len(r["response"]) for r in own))[:3]
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": row["prompt"]}],
                "completion": [{"role": "assistant", "content": row["response"]}],
                **{name: row[name] for name in ("teacher", "prompt_id", "correct")},
            }
            for own in shortest
            for row in sorted(own, key=lambda row: len(row["response"]))[:2]
        ]
    )


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[int, ...]]]:
    """The sequences that reach each `training_step`, without padding."""
    seen: list[list[tuple[int, ...]]] = []
    step = SFTTrainer.training_step

    def recording(self: Any, model: Any, inputs: Mapping[str, Any], *rest: Any) -> Any:
        seen.append([])
        for ids, positions in zip(inputs["input_ids"], _positions(inputs), strict=True):
            starts = [i for i, position in enumerate(positions) if position == 0]
            for start, end in zip(starts, [*starts[1:], len(positions)], strict=True):
                seen[-1].append(tuple(ids[start:end].tolist()))
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(SFTTrainer, "training_step", recording)
    return seen


def _positions(inputs: Mapping[str, Any]) -> list[list[int]]:
    """Positions of each row's tokens; padding is on the right and cut off."""
    if "position_ids" in inputs:
        found: list[list[int]] = inputs["position_ids"].tolist()
        return found
    return [list(range(int(mask.sum()))) for mask in inputs["attention_mask"]]


def student_of(shared: Path) -> str:
    return str(shared / "models" / "student-base")


def arguments(shared: Path, folder: Path, rows: Dataset, **changes: Any) -> dict[str, Any]:
    options = {"num_train_epochs": 1, "max_length": None} | changes
    return {
        "model": student_of(shared),
        "args": sft_config(folder, **options),
        "train_dataset": rows,
    }


def expected(shared: Path, rows: Dataset, selection: Selection) -> Counter[tuple[int, ...]]:
    """The chosen rows as TRL's own template renders them."""
    tokenizer = AutoTokenizer.from_pretrained(student_of(shared))
    texts = [rows[i]["prompt"] + rows[i]["completion"] for i in selection.indices]
    encoded = [tokenizer.apply_chat_template(turns, return_dict=True) for turns in texts]
    return Counter(tuple(one["input_ids"]) for one in encoded)


@pytest.mark.parametrize("block", [LOCAL, GLOBAL], ids=["local", "global"])
def test_the_mixin(
    shared: Path,
    rows: Dataset,
    tmp_path: Path,
    steps: list[list[tuple[int, ...]]],
    block: dict[str, Any],
) -> None:
    trainer = NaturalSFTTrainer(**arguments(shared, tmp_path, rows), selection=block)
    trainer.train()
    assert Counter(chain.from_iterable(steps)) == expected(shared, rows, trainer.selection)
    assert len(trainer.selection.indices) == 3
    assert len(steps) == trainer.state.max_steps == math.ceil(3 / 2)
    assert all(rows[i]["correct"] for i in trainer.selection.indices)
    assert trainer.selection.metric == block.get("metric", "local_naturalness")


def _packed(shared: Path, folder: Path, rows: Dataset) -> Selection:
    changes = {"packing": True, "max_length": 4096, "per_device_train_batch_size": 1}
    trainer = NaturalSFTTrainer(**arguments(shared, folder, rows, **changes), selection=LOCAL)
    trainer.train()
    return trainer.selection


def _adapter(shared: Path, folder: Path, rows: Dataset) -> Selection:
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    options = arguments(shared, folder, rows)
    trainer = NaturalSFTTrainer(**options, peft_config=lora, selection=LOCAL)
    trainer.train()
    return trainer.selection


def _attached(shared: Path, folder: Path, rows: Dataset) -> Selection:
    trainer = SFTTrainer(**arguments(shared, folder, rows))
    selection = attach(trainer, **LOCAL)
    trainer.train()
    return selection


def _run_config(shared: Path, folder: Path, rows: Dataset) -> Path:
    rows.to_parquet(str(folder / "rows.parquet"))
    data = [{"path": "parquet", "data_files": str(folder / "rows.parquet"), "split": "train"}]
    student = Path(student_of(shared))
    return write_config(folder, student, datasets=data, max_length=None, selection=LOCAL)


def _launched(shared: Path, folder: Path, rows: Dataset) -> Selection:
    assert lnat(["sft", "--config", str(_run_config(shared, folder, rows))]) == 0
    return stored(folder / "out")


def _two_stages(shared: Path, folder: Path, rows: Dataset) -> Selection:
    """`lnat select --config`, then TRL's own trainer on the files it wrote."""
    path = _run_config(shared, folder, rows)
    assert lnat(["select", "--config", str(path), "--output_path", str(folder / "chosen")]) == 0
    written = Dataset.from_parquet(str(folder / "chosen" / "data" / "train.parquet"))
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(student_of(shared), dtype="float32"),
        sft_config(folder / "run", num_train_epochs=1, max_length=None),
        train_dataset=written,
        processing_class=AutoTokenizer.from_pretrained(student_of(shared)),
    )
    trainer.train()
    return read_selection(folder / "chosen")


WAYS: dict[str, tuple[Callable[[Path, Path, Dataset], Selection], int]] = {
    "adapter": (_adapter, 2),
    "attached": (_attached, 2),
    "launched": (_launched, 2),
    "two stages": (_two_stages, 2),
    "packed": (_packed, 1),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_other_way_in(
    shared: Path, rows: Dataset, tmp_path: Path, steps: list[list[tuple[int, ...]]], way: str
) -> None:
    train, n_steps = WAYS[way]
    selection = train(shared, tmp_path, rows)
    assert Counter(chain.from_iterable(steps)) == expected(shared, rows, selection)
    assert len(steps) == n_steps
