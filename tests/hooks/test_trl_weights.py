"""Row weights reach the loss: training with them is what plain torch does by the definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, DataCollatorForSeq2Seq
from trl import SFTTrainer
from trl.trainer import sft_trainer

from lnat_plugins import Selection, hookimpl, load_teacher_set, nce_weights
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.hooks.trl_sft import NaturalSelectionMixin, NaturalSFTTrainer, attach, main
from lnat_plugins.hooks.trl_train import train
from lnat_plugins.hooks.trl_weights import weighs
from lnat_plugins.plugins.configured import read_block
from lnat_plugins.scoring.student import LocalStudent
from lnat_plugins.selection import choose
from tests.harness.lab import write_set
from tests.helpers_students import student

from . import weighted
from .builders import (
    BEST,
    arguments,
    candidates,
    natural,
    padded,
    plain_trainer,
    saved_student,
    write_config,
)
from .weighted import SETTINGS, WEIGHTED, apart, by_hand, check, in_steps, losses, packed, rows_of


@pytest.mark.parametrize(
    ("format", "sft", "size"),
    [
        ("messages", {}, 2),
        ("messages", {"gradient_accumulation_steps": 3}, 6),
        ("conversations", {"gradient_accumulation_steps": 2}, 4),
        ("conversations", {"completion_only_loss": False, "pad_to_multiple_of": 64}, 2),
        ("plain", {"remove_unused_columns": False}, 2),
        ("messages", {"padding_free": True, "max_length": None}, 2),
        ("messages", {"max_length": 60, "gradient_checkpointing": True}, 2),
        ("messages", {"average_tokens_across_devices": False}, 2),
    ],
)
def test_it_is_the_loop_by_hand(
    tmp_path: Path, format: str, sft: dict[str, Any], size: int
) -> None:
    trained = weighted.trainer(tmp_path, format, sft=sft)
    assert trained.selection.weighted
    trained.train()
    rows = rows_of(trained, format, sft.get("max_length"))
    if sft.get("completion_only_loss") is False:
        rows = [one._replace(labels=one.ids) for one in rows]
    check(trained, by_hand(in_steps(rows, size), rows, trained.selection.weights))


@pytest.mark.parametrize(
    ("format", "strategy", "length"),
    [
        ("messages", "bfd", 70),  # rows are cut, and the rest is dropped
        ("conversations", "bfd", 200),
        ("messages", "bfd_split", 70),
        ("messages", "wrapped", 70),  # every row is cut, and counts as one in all
        ("conversations", "wrapped", 200),
    ],
)
def test_with_packing(tmp_path: Path, format: str, strategy: str, length: int) -> None:
    sft = {"packing": True, "packing_strategy": strategy, "max_length": length}
    trained = weighted.trainer(tmp_path, format, sft=sft | {"per_device_train_batch_size": 1})
    trained.train()
    packs = packed(rows_of(trained, format), length, strategy)
    split = strategy != "wrapped"
    everything = [part for pack in packs for part in (apart(pack) if split else [pack])]
    weights = trained.selection.weights
    check(trained, by_hand(in_steps(packs, 1, split=split), everything, weights))


@pytest.mark.parametrize("strategy", ["bfd", "wrapped"])
def test_rows_are_packed_and_shuffled_as_trl_does(tmp_path: Path, strategy: str) -> None:
    sft = {"packing": True, "packing_strategy": strategy, "max_length": 90}
    mine = weighted.trainer(tmp_path / "mine", sft=sft | {"shuffle_dataset": True}).train_dataset
    rows = candidates(5).select(weighted.trainer(tmp_path / "rows").selection.indices)
    sft |= {"shuffle_dataset": True}
    theirs = plain_trainer(tmp_path / "theirs", train_dataset=rows, sft=sft).train_dataset
    assert mine.remove_columns("lnat_row").to_dict() == theirs.to_dict()
    assert len(theirs) > 1


def test_a_trainer_that_is_built_already(tmp_path: Path) -> None:
    options = {"train_dataset": candidates(5), "sft": SETTINGS}
    trained = plain_trainer(tmp_path / "attached", **options)
    attach(trained, **WEIGHTED)
    trained.train()
    other = weighted.trainer(tmp_path / "other")
    other.train()
    assert losses(trained) == losses(other)


def test_one_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, saved_student(tmp_path / "student"), selection=WEIGHTED)
    assert main(["--config", str(config)]) == 0
    assert "'lnat/effective_rows'" in capsys.readouterr().out


def test_the_spread_of_the_weights_is_logged(tmp_path: Path) -> None:
    trained = weighted.trainer(tmp_path, sft={"max_steps": 1})
    trained.train()
    figures = trained.state.log_history[0]
    weights = torch.tensor(trained.selection.weights, dtype=torch.float64)
    weights = weights / weights.mean()
    assert figures["lnat/weight_min"] == pytest.approx(float(weights.min()))
    assert figures["lnat/weight_max"] == pytest.approx(float(weights.max()))
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    assert figures["lnat/effective_rows"] == pytest.approx(effective)
    assert 1 < effective < 10


def test_the_metrics_of_trl_are_those_of_an_unweighted_run(tmp_path: Path) -> None:
    """Before the first update; the loss is another one."""
    mine = weighted.trainer(tmp_path / "mine", sft={"max_steps": 1})
    rows = candidates(5).select(mine.selection.indices)
    theirs = plain_trainer(
        tmp_path / "theirs", train_dataset=rows, sft={**SETTINGS, "max_steps": 1}
    )
    mine.train()
    theirs.train()
    first, second = mine.state.log_history[1], theirs.state.log_history[0]
    for name in ("entropy", "mean_token_accuracy", "num_tokens"):
        assert first[name] == second[name]
    assert first["loss"] != pytest.approx(second["loss"], abs=1e-4)


def test_evaluation_is_not_weighted(tmp_path: Path) -> None:
    sft = {"max_steps": 1, "learning_rate": 0.0, "eval_strategy": "steps", "eval_steps": 1}
    mine = weighted.trainer(tmp_path / "mine", eval_dataset=candidates(2), sft=sft)
    theirs = plain_trainer(tmp_path / "theirs", eval_dataset=candidates(2))
    mine.train()
    [evaluated] = [one["eval_loss"] for one in mine.state.log_history if "eval_loss" in one]
    assert evaluated == theirs.evaluate()["eval_loss"]
    # On its own rows too, which bring their weights.
    unweighted = theirs.evaluate(candidates(5).select(mine.selection.indices))
    assert mine.evaluate(mine.train_dataset)["eval_loss"] == unweighted["eval_loss"]


def test_without_weights_the_loss_is_trl_s_to_the_bit(tmp_path: Path) -> None:
    mine = natural(tmp_path / "mine", BEST, sft=SETTINGS)
    mine.train()
    rows = candidates().select(mine.selection.indices)
    theirs = plain_trainer(tmp_path / "theirs", train_dataset=rows, sft=SETTINGS)
    theirs.train()
    assert losses(mine) == losses(theirs)
    for one, other in zip(mine.model.parameters(), theirs.model.parameters(), strict=True):
        assert one.equal(other)


def test_equal_weights_are_row_means_still(tmp_path: Path) -> None:
    """A strategy that weighs trains on means of rows, whatever the weights turn out to be."""
    trained = weighted.trainer(tmp_path, selection={"budget": 1})
    assert set(trained.selection.weights) == {1.0}
    trained.train()
    rows = rows_of(trained, "messages")
    check(trained, by_hand(in_steps(rows, 2), rows, [1.0] * len(rows)))


def test_a_run_that_resumes_weighs_as_before(tmp_path: Path) -> None:
    whole = weighted.trainer(tmp_path / "whole")
    whole.train()
    sft = {"save_strategy": "steps", "save_steps": 5}
    weighted.trainer(tmp_path / "cut", sft=sft | {"max_steps": 5}).train()
    # The weights are the stored ones: no choice is made again.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lnat_plugins.plugins.load.Plugins.select", None)
        again = weighted.trainer(tmp_path / "cut", sft=sft)
    again.train(resume_from_checkpoint=True)
    assert again.selection.weights == whole.selection.weights
    assert losses(again) == pytest.approx(losses(whole))


class OwnLoss(SFTTrainer):
    """A trainer with a loss of its own."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        return super().compute_loss(*args, **kwargs)


class NaturalOwnLoss(NaturalSelectionMixin, OwnLoss):
    """The same, choosing its rows."""


@pytest.mark.filterwarnings("ignore:`(label_smoothing_factor|compute_loss_func)` is deprecated")
@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"sft": {"loss_type": "dft"}}, "loss_type: dft"),
        ({"sft": {"label_smoothing_factor": 0.1}}, "label_smoothing_factor"),
        ({"compute_loss_func": lambda *args, **kwargs: None}, "compute_loss_func"),
        ({"data_collator": DataCollatorForSeq2Seq(padded())}, "DataCollatorForSeq2Seq"),
        ({"kind": NaturalOwnLoss}, "NaturalOwnLoss.compute_loss"),
    ],
)
def test_a_loss_that_takes_no_weights_is_refused_before_anything_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, Any], found: str
) -> None:
    monkeypatch.setattr(LocalStudent, "score", None)
    options = dict(changes)
    kind = options.pop("kind", NaturalSFTTrainer)
    with pytest.raises(ConfigError) as caught:
        kind(**arguments(tmp_path, **options), selection=WEIGHTED)
    assert "only the `nll` loss of TRL 1.15 or later" in str(caught.value)
    assert found in str(caught.value)
    assert "resample: true" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_older_trl_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = plain_trainer(tmp_path)
    monkeypatch.delattr(sft_trainer, "add_fused_lm_head")
    with pytest.raises(ConfigError, match=r"TRL 1.15 or later.*found 'trl "):
        attach(trainer, **WEIGHTED)


class Weighs:
    """A plugin that weighs its rows, whatever the strategy."""

    def __init__(self, *weights: float) -> None:
        self.weights = weights

    @hookimpl
    def lnat_select(self, candidates: Any, student: Any, config: Any) -> Selection:
        return replace(choose(candidates, student, config), weights=self.weights)


def test_the_weights_of_a_plugin_count_too(tmp_path: Path) -> None:
    block = BEST | {"plugins": [Weighs(1.0, 0.0, 2.0, 5.0)]}
    trained = natural(tmp_path / "a", block, sft=SETTINGS)
    trained.train()
    rows = rows_of(trained, "messages")
    check(trained, by_hand(in_steps(rows, 2), rows, (1.0, 0.0, 2.0, 5.0)))
    with pytest.raises(ConfigError, match="only the `nll` loss"):
        natural(tmp_path / "b", block, sft={"loss_type": "dft"})


def test_rows_with_weight_that_are_all_dropped(tmp_path: Path) -> None:
    """TRL drops rows whose prompt alone fills `max_length`: here those of the first prompt."""
    rows = candidates(2, "conversations").to_list()
    for row in rows[:3]:
        row["prompt"][0]["content"] = "long " * 100
    block = BEST | {"plugins": [Weighs(1.0, 0.0)]}
    with pytest.raises(DataError, match="no row that is trained on has a weight above 0"):
        natural(tmp_path, block, train_dataset=Dataset.from_list(rows), sft={"max_length": 100})


def test_the_weights_of_a_file(tmp_path: Path) -> None:
    """Those that `lnat nce` writes of the same rows: each row trained on weighs what it says."""
    rows = candidates(5, "conversations").to_list()
    for row in rows:
        row["prompt_id"] = row["prompt"][0]["content"]
    given = load_teacher_set(
        write_set(
            tmp_path,
            [
                {
                    "prompt_id": row["prompt_id"], "prompt": row["prompt"][0]["content"],
                    "teacher": row["teacher"], "response": row["completion"][0]["content"],
                }
                for row in rows
            ],
        )
    )  # fmt: skip
    found = nce_weights(student("llama"), student("llama", seed=1), padded(), given)
    found.write(tmp_path / "nce.jsonl")
    block = BEST | {"weights": tmp_path / "nce.jsonl"}
    options = {"train_dataset": Dataset.from_list(rows), "sft": SETTINGS}
    trained = natural(tmp_path / "a", block, **options)
    chosen = [rows[index] for index in trained.selection.indices]
    known = {(row.prompt_id, row.teacher): row.lnat_weight for row in found.rows}
    weights = [known[row["prompt_id"], row["teacher"]] for row in chosen]
    assert list(trained.selection.weights) == weights and len(set(weights)) > 1
    assert list(trained.train_dataset["lnat_weight"]) == weights
    # By the block, even if all weigh the same.
    spec, equal = read_block(block).spec, replace(trained.selection, weights=(1.0,) * len(weights))
    assert weighs(spec, equal) and not weighs(read_block(BEST).spec, equal)
    with pytest.raises(ConfigError, match="only the `nll` loss"):
        natural(tmp_path / "b", block, train_dataset=options["train_dataset"],
                sft={"loss_type": "dft"})  # fmt: skip


@pytest.mark.parametrize("packing", [False, True])
def test_a_studys_training_weighs_as_the_trainer_does(tmp_path: Path, packing: bool) -> None:
    """TRL's own script, with rows that were chosen before, and their weights."""
    sft = {"packing": packing, "packing_strategy": "wrapped", "max_length": 200}
    model = AutoModelForCausalLM.from_pretrained(saved_student(tmp_path / "student"))
    trained = weighted.trainer(tmp_path / "own", sft=sft, model=model)
    chosen = [candidates(5)[index] for index in trained.selection.rows]
    trained.train()
    config = write_config(
        tmp_path, tmp_path / "student", drop="selection", **SETTINGS, **sft, learning_rate=1e-3,
    )  # fmt: skip
    Dataset.from_list(chosen).to_parquet(str(tmp_path / "candidates.parquet"))
    train(config, trained.selection.row_weights)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    for mine, other in zip(again.parameters(), trained.model.parameters(), strict=True):
        torch.testing.assert_close(mine, other.detach().to(mine.dtype), atol=1e-6, rtol=1e-5)
    train(config)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    pairs = zip(plain.parameters(), again.parameters(), strict=True)
    assert not all(torch.allclose(a, b, atol=1e-4) for a, b in pairs)
    config = write_config(
        tmp_path, tmp_path / "student", drop="selection", **SETTINGS, loss_type="dft"
    )
    with pytest.raises(ConfigError, match="this choice weighs rows, and only the `nll` loss"):
        train(config, trained.selection.row_weights)
