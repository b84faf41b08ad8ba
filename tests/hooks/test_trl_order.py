"""Rows reach the model in the order of the selection, and as often as they were drawn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import SequentialSampler
from trl import SFTConfig, SFTTrainer

from lnat_plugins.errors import ConfigError
from lnat_plugins.hooks.trl_config import choose_by_config
from lnat_plugins.hooks.trl_data import select_dataset
from lnat_plugins.hooks.trl_order import refuse_reordering
from lnat_plugins.hooks.trl_sft import NaturalSelectionMixin, NaturalSFTTrainer, attach, main
from lnat_plugins.hooks.trl_train import train
from lnat_plugins.scoring.student import LocalStudent
from lnat_plugins.selection.training_set import read_selection, write_training_set
from tests.helpers_students import student

from .builders import (
    arguments,
    candidates,
    names,
    natural,
    padded,
    plain_trainer,
    record_order,
    saved_student,
    stored,
    write_config,
)
from .weighted import SETTINGS, WEIGHTED, losses

HARD = {"strategy": "top_k", "k": 8, "windows": [1], "order": "hard_to_easy"}
DRAWN = {"strategy": "weighted", "budget": 2, "windows": [1], "resample": True, "seed": 5}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(prompt, teacher) of the rows that are trained on, in order."""
    return record_order(monkeypatch)


@pytest.mark.parametrize("order", ["easy_to_hard", "hard_to_easy", "random"])
def test_a_trainer_reads_its_rows_in_order_epoch_by_epoch(
    tmp_path: Path, seen: list[tuple[str, str]], order: str
) -> None:
    trainer = natural(tmp_path, HARD | {"order": order})
    trainer.train()
    expected = names(trainer.selection)
    assert seen == expected * 2
    assert expected != sorted(expected)
    scores = [trainer.selection.scores[i] for i in trainer.selection.rows]
    rising = scores == sorted(scores)
    assert (rising, scores == sorted(scores, reverse=True)) == {
        "easy_to_hard": (False, True),
        "hard_to_easy": (True, False),
        "random": (False, False),
    }[order]


def test_without_an_order_trl_shuffles(tmp_path: Path, seen: list[tuple[str, str]]) -> None:
    trainer = natural(tmp_path, {name: HARD[name] for name in HARD if name != "order"})
    trainer.train()
    assert seen != names(trainer.selection) * 2
    assert Counter(seen) == Counter(names(trainer.selection) * 2)


def test_packing_by_wrapped_keeps_the_order(tmp_path: Path, seen: list[tuple[str, str]]) -> None:
    sft = {"packing": True, "packing_strategy": "wrapped", "max_length": 400}
    trainer = natural(tmp_path, HARD, sft=sft | {"num_train_epochs": 1})
    assert len(trainer.train_dataset) < 8
    trainer.train()
    ordered = iter(names(trainer.selection))
    assert len(seen) > 4  # marks that a pack cuts are not read
    assert all(one in ordered for one in seen)


def test_a_trainer_that_is_built_already(tmp_path: Path, seen: list[tuple[str, str]]) -> None:
    trainer = plain_trainer(tmp_path)
    selection = attach(trainer, **HARD)
    trainer.train()
    assert seen == names(selection) * 2


def test_one_config(tmp_path: Path, seen: list[tuple[str, str]]) -> None:
    config = write_config(tmp_path, saved_student(tmp_path / "student"), selection=HARD)
    assert main(["--config", str(config)]) == 0
    assert seen == names(stored(tmp_path / "out"))


def test_two_stages(tmp_path: Path, seen: list[tuple[str, str]]) -> None:
    """`trl sft` reads the files of `lnat select` in the same order."""
    folder = saved_student(tmp_path / "student")
    config = write_config(tmp_path, folder, selection=HARD, train_sampling_strategy="random")
    stage = choose_by_config(config)
    write_training_set(
        tmp_path / "chosen", stage.candidates, stage.selection, sft_settings=stage.sft_settings
    )
    train(tmp_path / "chosen" / "sft.yaml")
    assert seen == names(stage.selection) == names(read_selection(tmp_path / "chosen"))


def test_rows_for_other_trainers_are_in_order(tmp_path: Path) -> None:
    rows = select_dataset(candidates(), student("llama"), padded(), **HARD)
    assert rows["lnat_score"] == sorted(rows["lnat_score"])


class OwnSampler(SFTTrainer):
    """A trainer with a sampler of its own."""

    def _get_train_sampler(self, *args: Any) -> Any:
        return SequentialSampler(self.train_dataset)


class NaturalOwnSampler(NaturalSelectionMixin, OwnSampler):
    """The same, choosing its rows."""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sft": {"shuffle_dataset": True}}, "shuffle_dataset: true"),
        ({"sft": {"train_sampling_strategy": "group_by_length"}}, "group_by_length"),
        ({"sft": {"packing": True}}, "`packing_strategy: wrapped`, which keeps the order"),
        ({"kind": NaturalOwnSampler}, "this trainer samples its rows itself"),
    ],
)
def test_what_reorders_rows_is_refused_before_anything_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(LocalStudent, "score", None)
    options = dict(changes)
    kind = options.pop("kind", NaturalSFTTrainer)
    with pytest.raises(ConfigError) as caught:
        kind(**arguments(tmp_path, **options), selection=HARD)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_first_of_two_stages_refuses_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalStudent, "score", None)
    folder = saved_student(tmp_path / "student")
    config = write_config(tmp_path, folder, selection=HARD, shuffle_dataset=True)
    with pytest.raises(ConfigError, match="shuffle_dataset: true"):
        choose_by_config(config)


def test_an_older_transformers_is_refused(tmp_path: Path) -> None:
    args = SFTConfig(str(tmp_path), use_cpu=True, bf16=False, report_to="none")
    refuse_reordering(args)
    del args.train_sampling_strategy
    # The field's default stands on the class.
    with pytest.MonkeyPatch.context() as patch:
        for owner in SFTConfig.__mro__:
            if "train_sampling_strategy" in vars(owner):
                patch.delattr(owner, "train_sampling_strategy")
        with pytest.raises(ConfigError, match="`order` needs a transformers with"):
            refuse_reordering(args)


def test_rows_are_trained_on_as_often_as_they_were_drawn(
    tmp_path: Path, seen: list[tuple[str, str]]
) -> None:
    trainer = natural(tmp_path, DRAWN, sft={"num_train_epochs": 1})
    selection = trainer.selection
    assert len(selection.rows) == 8 > len(selection.indices)
    assert trainer.train_dataset["lnat_weight"][:] == [1.0] * 8
    trainer.train()
    assert Counter(seen) == Counter(names(selection))
    assert trainer.state.max_steps == 4
    figures = trainer.state.log_history[0]
    assert (figures["lnat/chosen"], figures["lnat/distinct"]) == (8, len(selection.indices))
    assert "lnat/weight_min" not in figures


def test_a_loss_without_weights_trains_on_drawn_rows(tmp_path: Path) -> None:
    """What weights are refused with takes `resample`; the loss is TRL's own, to the bit."""
    mine = natural(tmp_path / "mine", DRAWN, sft={**SETTINGS, "loss_type": "dft"})
    rows = candidates().select(mine.selection.rows)
    theirs = plain_trainer(
        tmp_path / "theirs", train_dataset=rows, sft={**SETTINGS, "loss_type": "dft"}
    )
    mine.train()
    theirs.train()
    assert losses(mine) == losses(theirs)


def test_a_run_that_resumes_has_the_drawn_rows(tmp_path: Path) -> None:
    block = DRAWN | {"order": "random"}
    sft = {"save_strategy": "steps", "save_steps": 2, "max_steps": 2}
    first = natural(tmp_path, block, sft=sft)
    first.train()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lnat_plugins.plugins.load.Plugins.select", None)
        again = natural(tmp_path, block, sft=sft)
    assert again.selection.rows == first.selection.rows
    assert again.train_dataset["input_ids"][:] == first.train_dataset["input_ids"][:]


def test_an_order_and_weights_together(tmp_path: Path, seen: list[tuple[str, str]]) -> None:
    """The weights are those of the rows, wherever they stand."""
    trainer = natural(tmp_path, WEIGHTED | {"order": "hard_to_easy"})
    weight_of = dict(zip(trainer.selection.indices, trainer.selection.weights, strict=True))
    expected = [weight_of[i] for i in trainer.selection.rows]
    assert trainer.train_dataset["lnat_weight"][:] == expected
    assert trainer.train_dataset["lnat_row"][:] == list(range(8))
    shares = trainer.data_collator.weights / trainer.data_collator.shares
    assert shares == pytest.approx([w / (sum(expected) / 8) for w in expected])
    trainer.train()
    assert seen == names(trainer.selection) * 2
