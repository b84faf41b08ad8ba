"""`sft.yaml` as TRL takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from trl import (
    DatasetMixtureConfig,
    ModelConfig,
    ScriptArguments,
    SFTConfig,
    SFTTrainer,
    TrlParser,
    get_dataset,
)

from lnat_plugins.errors import ConfigError
from lnat_plugins.selection.training_set import write_training_set
from tests.helpers_students import student, tokenizer
from tests.selection.builders import TEXTS, four_rows, selection_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:.gradient_checkpointing. is deprecated:FutureWarning"  # TRL's own default
)


def parsed(folder: Path, *arguments: str) -> Any:
    """(script, training, model, data) as `trl sft --config` reads them; raises for other keys."""
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig))
    return parser.parse_args_and_config(
        ["--config", str(folder / "sft.yaml"), "--use_cpu", *arguments]
    )


@pytest.mark.parametrize("name", ["chosen", "with blank: #1 'and' \"quotes\"", "七"])
def test_trl_takes_every_key_and_finds_the_rows(tmp_path: Path, name: str) -> None:
    pool = four_rows()
    write_training_set(tmp_path / name, pool, selection_of(pool))
    _, training, model, data = parsed(tmp_path / name)
    assert model.model_name_or_path == "org/student"
    assert training.max_length is None
    assert training.output_dir == f"{tmp_path / name}-sft"
    rows = get_dataset(data)["train"]
    assert [row["completion"][0]["content"] for row in rows] == list(TEXTS[1:3])


def test_the_selection_s_max_length_is_that_of_training(tmp_path: Path) -> None:
    pool = four_rows()
    selection = replace(selection_of(pool), settings={"max_length": 4096})
    write_training_set(tmp_path / "chosen", pool, selection)
    assert parsed(tmp_path / "chosen")[1].max_length == 4096


def test_paths_do_not_depend_on_where_trl_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "student").mkdir()
    monkeypatch.chdir(tmp_path)
    pool = four_rows()
    write_training_set("chosen", pool, selection_of(pool, student="student"))
    text = (tmp_path / "chosen" / "sft.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    assert values["model_name_or_path"] == str(tmp_path / "student")
    assert values["datasets"][0]["data_files"] == str(tmp_path / "chosen" / "data/train.parquet")
    assert "differ in weight" not in text
    assert "it names the rows by their full" in text
    assert "absolute" not in text


def test_weights_that_trl_does_not_read_are_mentioned(tmp_path: Path) -> None:
    pool = four_rows()
    write_training_set(tmp_path / "chosen", pool, selection_of(pool, weights=(1.0, 2.0)))
    for name in ("sft.yaml", "README.md"):
        assert "differ in weight" in (tmp_path / "chosen" / name).read_text(encoding="utf-8")
    parsed(tmp_path / "chosen")


@pytest.mark.parametrize("plain", [True, False])
def test_it_trains(tmp_path: Path, plain: bool) -> None:
    reader = tokenizer()
    reader.pad_token = "<|end|>"
    student("llama").save_pretrained(tmp_path / "student")
    reader.save_pretrained(tmp_path / "student")
    pool = four_rows(plain=plain)
    write_training_set(
        tmp_path / "chosen", pool, selection_of(pool, student=str(tmp_path / "student"))
    )
    _, training, model, data = parsed(
        tmp_path / "chosen", "--bf16", "false", "--report_to", "none", "--max_steps", "1",
        "--dataloader_pin_memory", "false", "--disable_tqdm", "true", "--save_strategy", "no",
    )  # fmt: skip
    trainer = SFTTrainer(
        model.model_name_or_path, args=training, train_dataset=get_dataset(data)["train"]
    )
    assert len(trainer.train_dataset) == 2
    assert trainer.train().global_step == 1


@pytest.mark.skipif(
    "train_sampling_strategy" not in SFTConfig.__dataclass_fields__,
    reason="this transformers trains in the order of the data only by a sampler",
)
def test_trl_keeps_an_order(tmp_path: Path) -> None:
    pool = four_rows()
    ordered = selection_of(pool, sequence=(2, 1), settings={"order": "random"})
    write_training_set(
        tmp_path / "a", pool, ordered, sft_settings={"train_sampling_strategy": "random"}
    )
    _, training, *_ = parsed(tmp_path / "a")
    assert training.train_sampling_strategy == "sequential"
    note = "set `train_sampling_strategy: sequential`"
    assert note in (tmp_path / "a" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="would not be trained on in the `order`"):
        write_training_set(tmp_path / "b", pool, ordered, sft_settings={"shuffle_dataset": True})
    assert not (tmp_path / "b").exists()
    write_training_set(tmp_path / "c", pool, selection_of(pool))
    assert parsed(tmp_path / "c")[1].train_sampling_strategy == "random"
    assert note not in (tmp_path / "c" / "README.md").read_text(encoding="utf-8")
