"""Real traces, a real student: exactly the rows chosen from them are trained on."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from lnat_plugins.cli import main as lnat
from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer, attach
from lnat_plugins.hooks.trl_sft import main as sft
from lnat_plugins.selection import Selection

from .lab import config

LOCAL = {"strategy": "best", "windows": [4], "require_correct": True}
GLOBAL = LOCAL | {"metric": "global_naturalness", "windows": ["global"]}


@pytest.fixture(scope="module")
def rows(shared: Path) -> Dataset:
    """The three prompts with the shortest traces, four teachers each."""
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
            for row in own
        ]
    )


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Every sequence that reaches a `training_step`, without padding."""
    seen: list[list[int]] = []
    step = SFTTrainer.training_step

    def recording(self: Any, model: Any, inputs: Mapping[str, Any], *rest: Any) -> Any:
        for ids, positions in zip(inputs["input_ids"], _positions(inputs), strict=True):
            starts = [i for i, position in enumerate(positions) if position == 0]
            for start, end in zip(starts, [*starts[1:], len(positions)], strict=True):
                seen.append(ids[start:end].tolist())
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(SFTTrainer, "training_step", recording)
    return seen


def _positions(inputs: Mapping[str, Any]) -> list[list[int]]:
    """Positions of each row's tokens; padding is on the right and cut off."""
    if "position_ids" in inputs:
        found: list[list[int]] = inputs["position_ids"].tolist()
        return found
    return [list(range(int(mask.sum()))) for mask in inputs["attention_mask"]]


def settings(shared: Path, folder: Path, **changes: Any) -> SFTConfig:
    return config(folder, num_train_epochs=1, max_length=None, **changes)


def built(shared: Path, folder: Path, rows: Dataset, **more: Any) -> dict[str, Any]:
    changes = more.pop("changes", {})
    return {
        "model": str(shared / "models" / "student-base"),
        "args": settings(shared, folder, **changes),
        "train_dataset": rows,
    } | more


def expected(shared: Path, rows: Dataset, selection: Selection) -> Counter[tuple[int, ...]]:
    """The chosen rows as TRL's own template renders them."""
    tokenizer = AutoTokenizer.from_pretrained(shared / "models" / "student-base")
    texts = [rows[i]["prompt"] + rows[i]["completion"] for i in selection.indices]
    encoded = [tokenizer.apply_chat_template(turns, return_dict=True) for turns in texts]
    return Counter(tuple(one["input_ids"]) for one in encoded)


@pytest.mark.parametrize("block", [LOCAL, GLOBAL], ids=["local", "global"])
def test_the_mixin(
    shared: Path, rows: Dataset, tmp_path: Path, trained: list[list[int]], block: dict[str, Any]
) -> None:
    trainer = NaturalSFTTrainer(**built(shared, tmp_path, rows), selection=block)
    trainer.train()
    assert Counter(map(tuple, trained)) == expected(shared, rows, trainer.selection)
    assert len(trainer.selection.indices) == 3
    assert trainer.state.max_steps == math.ceil(3 / 2)
    assert all(rows[i]["correct"] for i in trainer.selection.indices)
    assert trainer.selection.metric == block.get("metric", "local_naturalness")


def _packed(shared: Path, folder: Path, rows: Dataset) -> tuple[Selection, int]:
    changes = {"packing": True, "max_length": 4096, "per_device_train_batch_size": 1}
    options = built(shared, folder, rows)
    options["args"] = config(folder, num_train_epochs=1, **changes)
    trainer = NaturalSFTTrainer(**options, selection=LOCAL)
    trainer.train()
    return trainer.selection, trainer.state.max_steps


def _adapter(shared: Path, folder: Path, rows: Dataset) -> tuple[Selection, int]:
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    options = built(shared, folder, rows, peft_config=lora)
    trainer = NaturalSFTTrainer(**options, selection=LOCAL)
    trainer.train()
    return trainer.selection, trainer.state.max_steps


def _attached(shared: Path, folder: Path, rows: Dataset) -> tuple[Selection, int]:
    trainer = SFTTrainer(**built(shared, folder, rows))
    selection = attach(trainer, **LOCAL)
    trainer.train()
    return selection, trainer.state.max_steps


def _run_config(shared: Path, folder: Path, rows: Dataset) -> Path:
    rows.to_parquet(str(folder / "rows.parquet"))
    data = [{"path": "parquet", "data_files": str(folder / "rows.parquet"), "split": "train"}]
    keys = {
        "model_name_or_path": str(shared / "models" / "student-base"),
        "datasets": data,
        "output_dir": str(folder / "out"),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "num_train_epochs": 1,
        "per_device_train_batch_size": 2,
        "save_strategy": "no",
        "max_length": None,
        "dataloader_pin_memory": False,
        "selection": LOCAL,
    }
    path = folder / "sft.yaml"
    path.write_text(yaml.safe_dump(keys), encoding="utf-8")
    return path


def _launched(shared: Path, folder: Path, rows: Dataset) -> tuple[Selection, int]:
    assert sft(["--config", str(_run_config(shared, folder, rows))]) == 0
    kept = json.loads((folder / "out" / "lnat_selection.json").read_text())
    return Selection.from_dict(kept), 2


def _two_stages(shared: Path, folder: Path, rows: Dataset) -> tuple[Selection, int]:
    """`lnat select --config`, then TRL's own trainer on the files it wrote."""
    path = _run_config(shared, folder, rows)
    assert lnat(["select", "--config", str(path), "--output_path", str(folder / "chosen")]) == 0
    kept = json.loads((folder / "chosen" / "selection.json").read_text())
    written = Dataset.from_parquet(str(folder / "chosen" / "data" / "train.parquet"))
    student = shared / "models" / "student-base"
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(student),
        settings(shared, folder / "run"),
        train_dataset=written,
        processing_class=AutoTokenizer.from_pretrained(student),
    )
    trainer.train()
    return Selection.from_dict(kept), trainer.state.max_steps


WAYS: dict[str, Callable[[Path, Path, Dataset], tuple[Selection, int]]] = {
    "adapter": _adapter,
    "attached": _attached,
    "launched": _launched,
    "two stages": _two_stages,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_other_way_in(
    shared: Path, rows: Dataset, tmp_path: Path, trained: list[list[int]], way: str
) -> None:
    selection, max_steps = WAYS[way](shared, tmp_path, rows)
    assert Counter(map(tuple, trained)) == expected(shared, rows, selection)
    assert max_steps == 2


def test_packed(shared: Path, rows: Dataset, tmp_path: Path, trained: list[list[int]]) -> None:
    selection, max_steps = _packed(shared, tmp_path, rows)
    assert Counter(map(tuple, trained)) == expected(shared, rows, selection)
    assert max_steps == 1
