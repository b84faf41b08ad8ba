"""Trainers choose conversations whole, and train on the tokens that were scored."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from trl import SFTTrainer

from lnat_plugins import load_teacher_set, score
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.hooks.trl_data import candidates_of, select_dataset, sft_rows
from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer, attach, main
from lnat_plugins.scoring.rows import Renderer
from lnat_plugins.scoring.whole_conversations import training_template
from lnat_plugins.selection.formats.columns import as_table, turns
from tests.harness.lab import write_set
from tests.helpers_students import assert_near, student
from tests.helpers_tokenizers import byte_level
from tests.hooks.builders import sft_config, write_config
from tests.scoring.test_whole_conversations import CALL, MARKED, TEMPLATES, TOOLS, special

ALL = {"strategy": "best", "windows": [1], "steps": "turn", "turns": "all"}
OTHER = {"type": "function", "function": {"name": "mul", "arguments": {"b": "x"}}}


def asks(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def tool(content: str) -> dict[str, Any]:
    return {"role": "tool", "name": "add", "content": content}


def says(content: str, *calls: dict[str, Any]) -> dict[str, Any]:
    turn = {"role": "assistant", "content": content}
    return {**turn, "tool_calls": list(calls)} if calls else turn


TRACES = {
    "A": [asks("What is 3 + 4?"), says("Let me see.", CALL), tool("7"), says("So 7.")],
    "B": [
        asks("What is 3 + 4?"), says("", OTHER), tool("Error: no such tool."), says("", CALL),
        tool("7"), says("Seven."),
    ],
    "C": [asks("What is 3 + 4?"), says("I know. It is 7.")],
}  # fmt: skip


def qwen() -> Any:
    tok = byte_level()
    text = TEMPLATES["qwen3"]
    tok.add_special_tokens({"additional_special_tokens": special(text)})
    tok.eos_token = tok.pad_token = "<|im_end|>"
    tok.chat_template = text
    return tok


def model_for(tok: Any) -> Any:
    return student("llama", vocab_size=len(tok), max_position_embeddings=4096)


def teacher_set(folder: Path, prompts: int = 2) -> Any:
    rows = [
        {"prompt_id": f"p{i}", "teacher": teacher, "messages": turns, "tools": TOOLS}
        for i in range(prompts)
        for teacher, turns in TRACES.items()
    ]
    block = {"layout": "messages", "turns": "all", "steps": "turn", "windows": ["1"]}
    return write_set(folder, rows, block=block)


def dataset(tok: Any, folder: Path, format: str) -> Dataset:
    """The rows as TRL reads them; calls differ in their arguments."""
    rows = sft_rows(load_teacher_set(teacher_set(folder)), tok, plain=False)
    if format == "prompt_completion":
        return rows
    joined = as_table({"messages": turns([[*r["prompt"], *r["completion"]] for r in rows])})
    kept = rows.remove_columns(["prompt", "completion"]).data.table
    return Dataset(kept.append_column("messages", joined["messages"]))


def scored_labels(tok: Any, rows: Any, trained: Any) -> None:
    """The labels of the trainer's rows are the scored tokens, and ends of turns."""
    renderer = Renderer(tok, plain=False)
    for candidate, row in zip(rows, trained, strict=True):
        own = renderer.row(candidate)
        assert own.response.own is not None
        assert row["input_ids"] == own.ids.tolist()
        labelled = np.array(row["labels"]) >= 0
        scored = np.zeros(len(own.ids), bool)
        scored[len(own.prompt) :][: len(own.response.ids)] = own.response.own
        assert not (scored & ~labelled).any()
        left = tok.decode(own.ids[labelled & ~scored])
        for said in ("<|im_end|>", "<think>", "</think>"):
            left = left.replace(said, "")
        assert left.strip() == ""


@pytest.mark.parametrize("format", ["messages", "prompt_completion"])
def test_the_trainer_trains_on_what_it_scored(tmp_path: Path, format: str) -> None:
    tok = qwen()
    data = dataset(tok, tmp_path, format)
    trainer = NaturalSFTTrainer(
        model_for(tok),
        args=sft_config(tmp_path / "out", assistant_only_loss=True, max_length=None),
        train_dataset=data, processing_class=tok, selection=ALL,
    )  # fmt: skip
    known = score(model_for(tok), tok, load_teacher_set(teacher_set(tmp_path)))
    means = {
        (row.prompt_id, row.teacher): np.mean(row.record.step_means("1"))
        for row in known.scored.rows
    }
    chosen = trainer.selection
    for i, value in enumerate(chosen.scores):
        assert_near([value], [means[data["prompt_id"][i], data["teacher"][i]]])
    rows = candidates_of(data, {}, tok, turns="all").rows
    scored_labels(tok, [rows[i] for i in chosen.rows], trainer.train_dataset)
    trainer.train()


def test_attached_to_a_trainer_of_trls(tmp_path: Path) -> None:
    tok = qwen()
    data = dataset(tok, tmp_path, "messages")
    trainer = SFTTrainer(
        model_for(tok),
        args=sft_config(tmp_path / "out", assistant_only_loss=True, max_length=None),
        train_dataset=data, processing_class=tok,
    )  # fmt: skip
    chosen = attach(trainer, **ALL)
    rows = candidates_of(data, {}, tok, turns="all").rows
    scored_labels(tok, [rows[i] for i in chosen.rows], trainer.train_dataset)


def test_before_a_trainer_of_another_kind(tmp_path: Path) -> None:
    tok = qwen()
    data = dataset(tok, tmp_path, "messages")
    rows = select_dataset(data, model_for(tok), tok, **ALL)
    assert len(rows) == 2
    assert {*rows.column_names} == {*data.column_names, "lnat_score", "lnat_weight"}
    with pytest.raises(DataError, match="tool_calls.*or score whole conversations: `turns: all`"):
        select_dataset(data, model_for(tok), tok, **{**ALL, "turns": "last"})


def test_lnat_sft_reads_a_set_of_conversations(tmp_path: Path, capsys: Any) -> None:
    tok = qwen()
    folder = tmp_path / "student"
    model_for(tok).save_pretrained(folder)
    tok.save_pretrained(folder)
    path = teacher_set(tmp_path)
    config = write_config(
        tmp_path, folder, drop="datasets", max_steps=1, assistant_only_loss=True, max_length=None,
        selection={"strategy": "best", "teacher_set": str(path)},
    )  # fmt: skip
    assert main(["--config", str(config)]) == 0, capsys.readouterr().err
    written = json.loads((tmp_path / "out" / "lnat_selection.json").read_text("utf-8"))
    assert written["settings"]["turns"] == "all"
    assert written["settings"]["steps"] == "turn"


def test_turns_that_training_cuts_are_counted(tmp_path: Path, caplog: Any) -> None:
    tok = qwen()
    data = dataset(tok, tmp_path, "prompt_completion")
    rows = candidates_of(data, {}, tok, turns="all").rows
    renderer = Renderer(tok, plain=False)
    long = next(row for row in rows if row.teacher == "B")
    own = renderer.row(long)
    assert own.response.own is not None
    places = len(own.prompt) + np.flatnonzero(own.response.own)
    # The last turn loses its last token.
    limit = int(places[-1])
    with caplog.at_level(logging.WARNING):
        NaturalSFTTrainer(
            model_for(tok),
            args=sft_config(tmp_path / "out", assistant_only_loss=True, max_length=limit),
            train_dataset=data, processing_class=tok, selection={**ALL, "strategy": "all"},
        )  # fmt: skip
    assert "and 2 of all 12 turns of assistants lose tokens" in caplog.text


WRITTEN = {"name": "f", "arguments": '{"a": "b"}'}
BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"messages": [asks("?"), says("Yes."), asks("?"), {**says(""), "content": None}]},
        'Write turns as.*and "" where there is no content',
    ),
    (
        {
            "messages": [
                asks("?"),
                says("", {"type": "function", "function": WRITTEN}),
                tool("7"),
                says("So."),
            ]
        },
        "whose `arguments` are objects",
    ),
    (
        {"messages": [asks("?"), says("Yes?"), asks("Go."), says("So.")], "scripted": [1]},
        "TRL trains on every turn of the assistant in `messages`.*as `prompt`",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("row", "message"), BAD)
def test_turns_that_trl_would_read_otherwise(row: dict[str, Any], message: str) -> None:
    tok = qwen()
    # As a template might print them.
    written = training_template(tok).replace("tool_call.arguments is string", "false")
    tok.chat_template = MARKED if row["messages"][-1]["content"] is None else written
    data = Dataset.from_list([{**row, "teacher": "A"}])
    with pytest.raises(DataError, match=message):
        candidates_of(data, {}, tok, turns="all")


def test_turns_of_the_prompt_are_not_trained_on_and_not_scored(tmp_path: Path) -> None:
    tok = qwen()
    prompt = [asks("Hi."), says("Hello."), asks("What is 3 + 4?")]
    data = Dataset.from_list([{"prompt": prompt, "completion": [says("Seven.")], "teacher": "A"}])
    (row,) = candidates_of(data, {}, tok, turns="all").rows
    assert row.text == "Seven."
    assert [turn["content"] for turn in row.messages] == ["Hi.", "Hello.", "What is 3 + 4?"]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"turns": "some"}, "turns"),
        ({"observations": "none"}, "only responses of several turns have this"),
        ({"turns": "all", "steps": "supplied"}, "are cut, not supplied"),
        ({"turns": "all", "mix_answers": 0.5}, "of responses of one turn|responses of one turn"),
    ],
)
def test_keys_that_do_not_go_together(block: dict[str, Any], message: str, tmp_path: Path) -> None:
    tok = qwen()
    data = dataset(tok, tmp_path, "messages")
    with pytest.raises(ConfigError, match=message):
        select_dataset(data, model_for(tok), tok, **block)


def test_plain_text_is_no_conversation() -> None:
    tok = qwen()
    data = Dataset.from_list([{"prompt": "a", "completion": "b", "teacher": "A"}])
    with pytest.raises(ConfigError, match="plain text is no conversation"):
        candidates_of(data, {}, tok, turns="all")


def test_a_row_with_a_scripted_turn_inside_is_dropped_with_a_reason(tmp_path: Path) -> None:
    tok = qwen()
    turns = [asks("?"), says("So."), asks("And?"), says("A program's."), asks("?"), says("Yes.")]
    rows = [
        {"prompt_id": "p", "teacher": "A", "messages": turns, "scripted": [3]},
        {"prompt_id": "p", "teacher": "B", "messages": turns[:2]},
    ]
    block = {"layout": "messages", "turns": "all", "steps": "turn", "windows": ["1"]}
    scores = score(model_for(tok), tok, load_teacher_set(write_set(tmp_path, rows, block=block)))
    chosen = scores.select("best")
    assert chosen.indices == (1,)
    assert chosen.reasons[0] == "it would be trained on a scripted turn"


INSIDE = [asks("?"), says("So."), asks("And?"), says("A program's."), asks("?"), says("Yes.")]


def test_a_scripted_turn_of_a_teacher_set_stays_one_in_the_trainer(tmp_path: Path) -> None:
    tok = qwen()
    rows = [
        {"prompt_id": "p", "teacher": "A", "messages": INSIDE, "scripted": [3]},
        {"prompt_id": "p", "teacher": "B", "messages": INSIDE[:2]},
    ]
    block = {"layout": "messages", "turns": "all", "steps": "turn", "windows": ["1"]}
    data = sft_rows(
        load_teacher_set(write_set(tmp_path, rows, block=block)), tok, plain=False
    )  # fmt: skip
    found = candidates_of(data, {}, tok, turns="all").rows
    assert [row.text for row in found] == ["So.\n\nYes.", "So."]
    trainer = NaturalSFTTrainer(
        model_for(tok),
        args=sft_config(tmp_path / "out", assistant_only_loss=True, max_length=None),
        train_dataset=data, processing_class=tok, selection=ALL,
    )  # fmt: skip
    assert trainer.selection.indices == (1,)
    assert trainer.selection.reasons[0] == "it would be trained on a scripted turn"


def test_openings_may_differ_under_one_id(tmp_path: Path) -> None:
    tok = qwen()
    rows = [
        {"prompt_id": "p", "teacher": t, "prompt": [{"role": "system", "content": t}, asks("?")],
         "completion": [says("Seven.")]}
        for t in "AB"
    ]  # fmt: skip
    found = candidates_of(Dataset.from_list(rows), {}, tok, turns="all").rows
    assert [row.prompt_id for row in found] == ["p", "p"]
    own = [row.response.turns[0]["content"] for row in found if row.response.turns]
    assert own == ["A", "B"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"assistant_only_loss": False}, "what users and tools wrote.*assistant_only_loss: false"),
        (
            {"assistant_only_loss": True, "completion_only_loss": False},
            "turns of the assistant in the prompt.*completion_only_loss: false.*Leave",
        ),
    ],
)
def test_other_losses_are_refused(keys: dict[str, Any], message: str, tmp_path: Path) -> None:
    tok = qwen()
    with pytest.raises(ConfigError, match=message):
        NaturalSFTTrainer(
            model_for(tok), args=sft_config(tmp_path / "out", **keys), processing_class=tok,
            train_dataset=dataset(tok, tmp_path, "prompt_completion"), selection=ALL,
        )  # fmt: skip


@pytest.mark.parametrize("column", ["messages", "prompt", "completion"])
def test_a_null_cell_is_one_line(column: str) -> None:
    tok = qwen()
    row: dict[str, Any] = {"messages": INSIDE}
    if column != "messages":
        row = {"prompt": INSIDE[:1], "completion": INSIDE[1:2]}
    data = Dataset.from_list([{**row, "teacher": "A"}, {**row, column: None, "teacher": "B"}])
    with pytest.raises(DataError, match=rf"\[1\], column '{column}': this must be a list of turns"):
        candidates_of(data, {}, tok, turns="all")


def test_scores_settle_turns_and_observations(tmp_path: Path) -> None:
    tok = qwen()
    rows = [
        {"prompt_id": "p", "teacher": teacher, "messages": turns}
        for teacher, turns in TRACES.items()
    ]
    block = {"layout": "messages", "turns": "all", "steps": "turn", "observations": "none"}
    own = load_teacher_set(write_set(tmp_path, rows, block=block | {"windows": ["1"]}))
    scores = score(model_for(tok), tok, own)
    for key, value in (("turns", "all"), ("observations", "all")):
        with pytest.raises(ConfigError, match=f"`{key}` is settled"):
            scores.select(**{key: value})
    chosen = scores.select("best")
    assert chosen.settings["observations"] == "none"
    # The outputs that were left out by choice are no other text.
    assert not any("other token ids" in one or "otherwise" in one for one in chosen.warnings)
