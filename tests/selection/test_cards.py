"""The card, the tables, `sft.yaml` as TRL takes it, `dataset_info.json`."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset
from trl import (
    DatasetMixtureConfig,
    ModelConfig,
    ScriptArguments,
    SFTConfig,
    SFTTrainer,
    TrlParser,
    get_dataset,
)

from lnat_plugins import __version__
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.selection.cards import counts, totals
from lnat_plugins.selection.training_set import write_training_set
from lnat_plugins.teacher_set import Candidates
from tests.helpers_students import student, tokenizer
from tests.selection.builders import PROVENANCE, TEXTS, four_rows, selection_of


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]


def test_each_teacher_s_part_and_the_whole() -> None:
    selection = selection_of(four_rows(), (1,), scores=(-1.0, -2.0, math.nan, -4.0))
    first, second = counts(selection).split("\n\n")
    head, _, *rows = cells(first)
    assert head == [
        "Teacher", "Candidates", "Chosen", "Share", "Mean of chosen", "Mean of eligible",
    ]  # fmt: skip
    assert rows == [
        ["QwQ", "2", "0", "0.000", "N/A", "-1.0000"],
        ["R1", "2", "1", "1.000", "-2.0000", "-3.0000"],
        ["all", "4", "1", "1.000", "-2.0000", "-2.3333"],
    ]
    head, _, *rows = cells(second)
    assert head == ["Left out", "QwQ", "R1", "all"]
    assert rows == [["another response scored higher", "2", "1", "3"], ["all", "2", "1", "3"]]


def test_shares_are_rounded_to_three_digits() -> None:
    pool = four_rows([{}] * 6)
    selection = selection_of(pool, (0, 2, 3), metric=None)
    first, _ = counts(selection).split("\n\n")
    assert [row[3] for row in cells(first)[2:]] == ["0.667", "0.333", "1.000"]
    none_chosen = selection_of(pool, (), metric=None)
    assert [row[3] for row in cells(counts(none_chosen))[2:5]] == ["0.000"] * 3


def test_reasons_are_counted_by_their_category_most_frequent_first() -> None:
    reasons = {0: "too long: 9 tokens", 2: "a tie", 3: "too long: 7 tokens"}
    _, second = counts(selection_of(four_rows(), (1,), reasons=reasons)).split("\n\n")
    assert cells(second)[2:] == [
        ["too long", "1", "1", "2"],
        ["a tie", "1", "0", "1"],
        ["all", "2", "1", "3"],
    ]


def test_all_chosen_without_a_score() -> None:
    selection = selection_of(four_rows(), (0, 1, 2, 3), metric=None)
    assert cells(counts(selection))[0] == ["Teacher", "Candidates", "Chosen", "Share"]
    assert "Left out" not in counts(selection)


def test_degenerate_rows_among_the_chosen_are_counted_below() -> None:
    counted = {"R1": {"answer only": 1, "loop": 2}, "QwQ": {"cut off": 1}}
    *tables, line = counts(selection_of(four_rows(), degenerate=counted)).split("\n\n")
    assert line == (
        "Degenerate among the chosen: R1 (answer only 1, loop 2), QwQ (cut off 1). Look at them "
        "before training.\n"
    )
    without = counts(selection_of(four_rows()))
    assert without == "\n\n".join(tables) + "\n"
    assert "egenerate" not in without


@pytest.mark.parametrize("counted", [{}, {"R1": {"loop": 1}}])
def test_the_card_and_the_stored_selection_count_them(
    tmp_path: Path, counted: dict[str, dict[str, int]]
) -> None:
    pool = four_rows()
    chosen = selection_of(pool, degenerate=counted)
    write_training_set(
        tmp_path, pool, chosen, format="prompt_completion", provenance=PROVENANCE,
        llama_factory=False,
    )  # fmt: skip
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert ("Degenerate among the chosen: R1 (loop 1). Look" in card) is bool(counted)
    stored = json.loads((tmp_path / "selection.json").read_text(encoding="utf-8"))
    assert stored["degenerate"] == counted


def test_a_teacher_may_be_called_as_the_last_line_is() -> None:
    names = ("all", "R1", "all", "R1")
    first, _ = counts(selection_of(four_rows(), teachers=names)).split("\n\n")
    assert [row[:3] for row in cells(first)[2:]] == [
        ["all", "2", "1"],
        ["R1", "2", "1"],
        ["all", "4", "2"],
    ]


def test_the_totals() -> None:
    selection = selection_of(four_rows(), (1,), ties=2)
    assert totals(selection) == "prompts: 1 of 2, responses: 1 of 4, ties: 2"


def card_of(folder: Path, pool: Candidates, **changes: object) -> str:
    write_training_set(folder / "c", pool, selection_of(pool, **changes), provenance=PROVENANCE)
    return (folder / "c" / "README.md").read_text(encoding="utf-8")


def test_the_folder_is_a_data_set_of_one_split(tmp_path: Path) -> None:
    pool = four_rows(roles=["user"])
    write_training_set(
        tmp_path / "c", pool, selection_of(pool), format="messages", llama_factory=True
    )
    found = load_dataset(str(tmp_path / "c"), cache_dir=str(tmp_path / "cache"))
    assert {name: split.num_rows for name, split in found.items()} == {"train": 2}
    assert "messages" in found["train"].column_names


def test_the_front_matter(tmp_path: Path) -> None:
    _, front, _ = card_of(tmp_path, four_rows()).split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["configs"][0]["data_files"] == [{"split": "train", "path": "data/train.parquet"}]
    assert "lnat-plugins" in values["tags"]
    assert "language" not in values


def test_the_card_states_what_was_chosen_how_and_with_what(tmp_path: Path) -> None:
    text = card_of(tmp_path, four_rows())
    assert "# Reasoning traces chosen for org/student" in text
    assert "prompts: 2 of 2, responses: 2 of 4, ties: 0" in text
    assert "|another response scored higher|" in text
    for fact in (
        "- strategy: best",
        "- metric: local_naturalness, higher is better",
        "- window: 4",
        '- scoring: `{"settings": {"steps": "sentence"}',
        "- scores from: samples_sums_2025.jsonl",
        "- scored with: lnat_plugins 0.0.9, torch 2.13\n",
        f"- chosen with: lnat_plugins {__version__}\n",
        "trl sft --config sft.yaml",
    ):
        assert fact in text
    assert "out/org__student" not in text


def test_the_folder_of_the_student_is_not_written(tmp_path: Path) -> None:
    text = card_of(tmp_path, four_rows(), student="/secret/models/tiny")
    assert "chosen for tiny" in text and "for training\ntiny (" in text
    assert "secret" not in text


def test_what_was_not_needed_is_not_written(tmp_path: Path) -> None:
    pool = four_rows(plain=True)
    selection = selection_of(
        pool, metric=None, window=None, higher_is_better=None, scores=(float("nan"),) * 4
    )
    write_training_set(tmp_path / "c", pool, selection)
    text = (tmp_path / "c" / "README.md").read_text(encoding="utf-8")
    assert "metric" not in text and "window" not in text and "Mean of" not in text
    assert "scored with" not in text
    assert "The texts are plain strings." in text


def test_conversations(tmp_path: Path) -> None:
    pool = four_rows(roles=["system", "user", "assistant", "tool"])
    write_training_set(
        tmp_path / "c", pool, selection_of(pool), format="messages", llama_factory=True
    )
    assert json.loads((tmp_path / "c" / "dataset_info.json").read_text(encoding="utf-8")) == {
        "lnat": {
            "file_name": "data/train.parquet",
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
                "system_tag": "system",
                "observation_tag": "tool",
                "function_tag": "function_call",
            },
        }
    }


def test_plain_text(tmp_path: Path) -> None:
    pool = four_rows(plain=True)
    write_training_set(tmp_path / "c", pool, selection_of(pool), llama_factory=True)
    assert json.loads((tmp_path / "c" / "dataset_info.json").read_text(encoding="utf-8")) == {
        "lnat": {
            "file_name": "data/train.parquet",
            "formatting": "alpaca",
            "columns": {"prompt": "prompt", "response": "completion"},
        }
    }


def test_conversations_in_two_columns_are_refused(tmp_path: Path) -> None:
    pool = four_rows()
    with pytest.raises(ConfigError, match=r"LLaMA-Factory reads no conv.*Give --format messages"):
        write_training_set(tmp_path / "c", pool, selection_of(pool), llama_factory=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "roles", [["user", "user"], ["user", "system", "user"], ["user", "assistant"], ["system"]]
)
def test_a_conversation_that_would_be_skipped_is_refused(tmp_path: Path, roles: list[str]) -> None:
    pool = four_rows(roles=roles)
    with pytest.raises(DataError, match=r"x\.jsonl line 1: LLaMA-Factory would skip this"):
        write_training_set(
            tmp_path / "c", pool, selection_of(pool), format="messages", llama_factory=True
        )


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


def test_rows_that_were_drawn_are_counted_as_often() -> None:
    pool = four_rows()
    drawn = selection_of(pool, (0, 1), sequence=(0, 0, 0, 1), scores=(-1.0, -5.0, -2.0, -3.0))
    tables = counts(drawn)
    assert "Drawn by weight: 4 rows, 2 of them distinct; the most repeated one stands 3 times." in (
        tables.splitlines()
    )
    assert cells(tables)[2:5] == [
        ["QwQ", "2", "3", "0.750", "-1.0000", "-1.5000"],
        ["R1", "2", "1", "0.250", "-5.0000", "-4.0000"],
        ["all", "4", "4", "1.000", "-2.0000", "-2.7500"],
    ]
    assert "Drawn by weight" not in counts(selection_of(pool, (0, 1), sequence=(1, 0)))


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


@pytest.mark.parametrize("extra", [{"tools": [{"name": "add"}]}, {}])
def test_llama_factory_would_not_read_all_of_a_conversation(
    tmp_path: Path, extra: dict[str, Any]
) -> None:
    pool = four_rows([extra] * 4, roles=["user"])
    if not extra:
        turn = {"content": "b", "reasoning_content": "So."}
        rows = [replace(row, response=replace(row.response, turn=turn)) for row in pool.rows]
        pool = replace(pool, rows=tuple(rows))
    with pytest.raises(DataError, match=r"would not read all .*(tools|reasoning_content)"):
        write_training_set(
            tmp_path / "c", pool, selection_of(pool), format="messages", llama_factory=True
        )
