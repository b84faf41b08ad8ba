"""A row has one number on every way in: `score()`, lm_eval, `lnat select --config`, a trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from datasets import load_dataset
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from lnat_plugins import load_teacher_set, read_scores, score
from lnat_plugins.errors import DataError
from lnat_plugins.hooks.trl_config import choose_by_config
from lnat_plugins.hooks.trl_data import select_dataset, sft_rows
from lnat_plugins.plugins.configured import read_block
from lnat_plugins.scoring.rows import Renderer
from lnat_plugins.scoring.student import LocalStudent
from lnat_plugins.teacher_set import Candidate, Response
from tests.harness.lab import evaluate, save, write_set
from tests.helpers_students import student, tokenizer

from .builders import natural, plain_trainer
from .test_trl_templates import whole

TEMPLATE = (
    "{% if tools %}{{ tools | length }} tools. {% endif %}{% if hint %}{{ hint }}{% endif %}"
    "{% for m in messages %}{% set c = m.content %}<|im_start|>{{ m.role }}\n"
    "{% if m.role != 'assistant' %}{{ c }}{% elif m.reasoning_content %}"
    "<think>{{ m.reasoning_content }}</think>{{ c }}{% elif '</think>' in c %}<think>\n"
    "{{ c.split('</think>')[0].split('<think>')[-1].strip() }}\n</think>\n\n"
    "{{ c.split('</think>')[-1].strip() }}{% else %}<think>\n\n</think>\n\n{{ c }}{% endif %}"
    "<|end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Adds an empty thinking part, normalises white space, joins a thinking part that stands apart in
its own way, and reads tools and arguments.
"""

SYSTEM = {"role": "system", "content": "Think first."}
TEXTS = {
    "QwQ": "<think>\n\nFirst step. Wait. So 3 + 4 = 7.\n</think>Done.",
    "R1": "First step. Second step. Done. Seven.",
    "DSQ": "Seven. Wait, is that so? Yes.<|end|>",
    "V3": "So seven. Done.",
}
THOUGHT = "First step. Wait. Now the next one."


def rows() -> list[dict[str, Any]]:
    found = []
    for p in range(4):
        user = {"role": "user", "content": f"What is {p} + 4?"}
        tools = [{"type": "function", "function": {"name": "add"}}] * (p % 2 + 1)
        found += [
            {
                "prompt_id": f"p{p}",
                "prompt": [SYSTEM, user] if p % 2 else [user],
                "teacher": teacher,
                "response": text,
                "reasoning_content": THOUGHT if teacher == "V3" else None,
                "tools": json.dumps(tools),
                "chat_template_kwargs": {"hint": "Take care. "},
                "source": f"{teacher} {p}",
                "reward": p / 4,
            }
            for teacher, text in TEXTS.items()
        ]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    reader = tokenizer()
    reader.chat_template, reader.pad_token = TEMPLATE, "<|end|>"
    reader.save_pretrained(folder)
    student("llama").save_pretrained(folder)
    return folder


def test_every_way_in_gives_the_same_number(folder: Path, tmp_path: Path) -> None:
    path = write_set(tmp_path / "set", rows(), block={"windows": [1, "global"]})
    model = AutoModelForCausalLM.from_pretrained(folder)
    reader = AutoTokenizer.from_pretrained(folder)
    teacher_set = load_teacher_set(path)
    scores = score(model, reader, teacher_set)
    expected = scores.to_pandas()["local_naturalness[1]"].tolist()
    assert len(expected) == 16
    joined = [row.text for row in scores.rows if row.teacher == "V3"]
    assert joined == [f"<think>{THOUGHT}</think>{TEXTS['V3']}"] * 4

    lm = HFLM(pretrained=str(folder), dtype="float32", device="cpu")
    file = save(evaluate(tmp_path / "set", lm, apply_chat_template=True), tmp_path / "out")
    by_lm_eval = read_scores(file, tokenizer=str(folder))
    found = by_lm_eval.to_pandas()["local_naturalness[1]"].tolist()
    assert found == pytest.approx(expected, abs=1e-6)
    digests = [row.record.ids_digest for row in scores.rows]
    assert [row.record.ids_digest for row in by_lm_eval.rows] == digests
    assert [row.text for row in by_lm_eval.rows] == [row.text for row in scores.rows]

    block = {"strategy": "best", "windows": [1], "teacher_set": str(path)}
    keys = {
        "model_name_or_path": str(folder), "output_dir": str(tmp_path / "o"), "use_cpu": True,
        "bf16": False, "dtype": "float32", "selection": block,
    }  # fmt: skip
    config = tmp_path / "sft.yaml"
    config.write_text(yaml.safe_dump(keys))
    stage = choose_by_config(config)
    assert list(stage.selection.scores) == pytest.approx(expected, abs=1e-6)
    sources = [row.response.extra["source"] for row in stage.candidates.rows]
    assert sources == [row["source"] for row in rows()]

    data = sft_rows(teacher_set, reader, plain=False)
    assert data["reward"] == [row["reward"] for row in rows()]
    chosen = select_dataset(data, model, reader, strategy="best", windows=[1])
    best = [max(expected[i : i + 4]) for i in range(0, 16, 4)]
    assert list(chosen["lnat_score"]) == pytest.approx(best, abs=1e-6)
    trained = natural(tmp_path / "t", model=model, train_dataset=data, processing_class=reader)
    assert list(trained.selection.scores) == pytest.approx(expected, abs=1e-6)

    selection = by_lm_eval.select("best", window=1)
    assert selection.indices == stage.selection.indices
    assert selection.training_notes == stage.selection.training_notes
    longest = by_lm_eval.select("longest")
    assert {longest.teachers[i] for i in longest.indices} == {"V3"}
    by_lm_eval.write(longest, tmp_path / "chosen")
    data = load_dataset("parquet", data_files=str(tmp_path / "chosen" / "data" / "train.parquet"))
    trainer = plain_trainer(tmp_path / "u", train_dataset=data["train"], processing_class=reader)
    kept = [row for row in scores.candidates.rows if row.teacher == "V3"]
    ids = [[*map(int, trained)] for trained in trainer.train_dataset["input_ids"]]
    assert ids == [whole(Renderer(reader, plain=False).row(row)) for row in kept]
    assert not any("other token ids" in note for note in selection.training_notes)


def test_other_ids_than_were_scored_are_counted(folder: Path, tmp_path: Path) -> None:
    """The tokenizer that training will use has another template."""
    write_set(tmp_path / "set", rows(), block={"windows": [1]})
    lm = HFLM(pretrained=str(folder), dtype="float32", device="cpu")
    file = save(evaluate(tmp_path / "set", lm, apply_chat_template=True), tmp_path / "out")
    other = AutoTokenizer.from_pretrained(folder)
    other.chat_template = TEMPLATE.replace("<|im_start|>", "<|start|>")
    other.save_pretrained(tmp_path / "other")
    notes = read_scores(file, tokenizer=str(tmp_path / "other")).select("best").training_notes
    assert notes["training reads other token ids than were scored"] == 4
    none = read_scores(file, tokenizer=str(tmp_path / "nowhere")).select("best").training_notes
    (note,) = none
    assert note.startswith("the ids that training reads were not compared: ")
    assert none[note] == 4


def test_a_template_that_drops_the_thinking_is_refused_after_lm_eval_too(
    folder: Path, tmp_path: Path
) -> None:
    own = [row | {"response": TEXTS["QwQ"], "reasoning_content": None} for row in rows()]
    write_set(tmp_path / "set", own, block={"windows": [1]})
    reader = AutoTokenizer.from_pretrained(folder)
    reader.chat_template = TEMPLATE.replace(
        "<think>\n{{ c.split('</think>')[0].split('<think>')[-1].strip() }}\n</think>\n\n", ""
    )
    reader.save_pretrained(tmp_path / "drops")
    model = AutoModelForCausalLM.from_pretrained(folder)
    lm = HFLM(pretrained=model, tokenizer=reader)
    file = save(evaluate(tmp_path / "set", lm, apply_chat_template=True), tmp_path / "out")
    scores = read_scores(file, tokenizer=str(tmp_path / "drops"))
    assert any("chat template leaves out what" in line for line in scores.rank().warnings)
    with pytest.raises(DataError, match="drops or changes part of the response in training"):
        scores.select("best")


def test_arguments_of_the_harness_count_as_scored(folder: Path, tmp_path: Path) -> None:
    """With an empty thinking part that the harness opens, training adds nothing of its own."""
    opening = "{% if thinking is defined %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
    reader = AutoTokenizer.from_pretrained(folder)
    reader.chat_template = TEMPLATE.removesuffix("{% endif %}") + opening
    reader.save_pretrained(tmp_path / "s")
    own = [row | {"response": TEXTS["R1"], "reasoning_content": None} for row in rows()]
    write_set(tmp_path / "set", own, block={"windows": [1]})
    model = AutoModelForCausalLM.from_pretrained(folder)
    found = []
    for arguments in ({}, {"chat_template_args": {"thinking": False}}):
        lm = HFLM(pretrained=model, tokenizer=reader, **arguments)
        out = tmp_path / str(len(arguments))
        file = save(evaluate(tmp_path / "set", lm, apply_chat_template=True), out)
        found.append(read_scores(file, tokenizer=str(tmp_path / "s")))
    without, given = (scores.select("best").training_notes for scores in found)
    (note,) = without
    assert note.startswith("the chat template puts other text before the response in training")
    assert given == {}
    assert found[1].scored.settings["chat_template_kwargs"] == {"thinking": False}
    first, second = ([row.record.ids_digest for row in scores.rows] for scores in found)
    assert first == second


def test_tokens_of_a_response_are_those_of_its_row(folder: Path) -> None:
    """Where the template normalises white space, fewer than in the text alone."""
    reader = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    text = "<think>\n\n\n\n\nFirst step.\n\n\n\n</think>Done."
    turn = ({"role": "user", "content": "What?"},)
    row = Candidate(0, "p", turn, Response("QwQ", text))
    chooser = read_block({"strategy": "shortest"})
    own = LocalStudent(model, reader, chooser.spec, plain=False)
    (found,) = own.response_tokens([row])
    assert found == len(Renderer(reader, plain=False).row(row).response.ids)
    assert found < len(reader(text, add_special_tokens=False)["input_ids"])


def test_a_column_of_tools_that_are_none(folder: Path, tmp_path: Path, caplog: Any) -> None:
    """It does not reach the template, is told of, and travels under another name."""
    own = [row | {"tools": "calculator"} for row in rows()]
    path = write_set(tmp_path / "set", own, block={"windows": [1]})
    lm = HFLM(pretrained=str(folder), dtype="float32", device="cpu")
    evaluated = evaluate(tmp_path / "set", lm, apply_chat_template=True)
    note = "the column 'tools' is not given to the chat template in 16 rows"
    assert sum(note in record.getMessage() for record in caplog.records) == 1
    scores = read_scores(save(evaluated, tmp_path / "out"), tokenizer=str(folder))
    caplog.clear()
    model, reader = (
        AutoModelForCausalLM.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    direct = score(model, reader, load_teacher_set(path))
    assert sum(note in record.getMessage() for record in caplog.records) == 1
    digests = [row.record.ids_digest for row in scores.rows]
    assert [row.record.ids_digest for row in direct.rows] == digests
    selection = scores.select("best")
    assert not any("other token ids" in text for text in selection.training_notes)
    scores.write(selection, tmp_path / "chosen")
    names = pq.read_table(tmp_path / "chosen" / "data" / "train.parquet").column_names
    assert "row_tools" in names and "tools" not in names
    data = sft_rows(load_teacher_set(path), reader, plain=False)
    assert data["row_tools"] == ["calculator"] * 16
    assert "tools" not in data.column_names


def test_arguments_that_not_all_rows_have(folder: Path, tmp_path: Path, caplog: Any) -> None:
    """A template that takes null for a value: one score on every way in, of training's ids."""
    reader = AutoTokenizer.from_pretrained(folder)
    reader.chat_template = "{% if more is defined %}{{ more }} more. {% endif %}" + TEMPLATE
    reader.save_pretrained(tmp_path / "s")
    own = rows()
    own[5] |= {"chat_template_kwargs": {"more": "Think"}}
    own[9].pop("chat_template_kwargs")
    path = write_set(tmp_path / "set", own, block={"windows": [1]})
    model = AutoModelForCausalLM.from_pretrained(folder)
    lm = HFLM(pretrained=model, tokenizer=reader)
    file = save(evaluate(tmp_path / "set", lm, apply_chat_template=True), tmp_path / "out")
    assert "rows differ in the keys of 'chat_template_kwargs'" in caplog.text
    scores = read_scores(file, tokenizer=str(tmp_path / "s"))
    data = sft_rows(load_teacher_set(path), reader, plain=False)
    trained = natural(tmp_path / "t", model=model, train_dataset=data, processing_class=reader)
    expected = scores.to_pandas()["local_naturalness[1]"].tolist()
    assert list(trained.selection.scores) == pytest.approx(expected, abs=1e-6)
    selection = scores.select("longest")
    assert not any("other token ids" in note for note in selection.training_notes)


def test_null_arguments_of_a_data_set_are_refused_before_scoring(
    folder: Path, tmp_path: Path
) -> None:
    """TRL's SFTTrainer stops at them; in a column that is null everywhere too."""
    path = write_set(tmp_path / "set", rows())
    reader = AutoTokenizer.from_pretrained(folder)
    data = sft_rows(load_teacher_set(path), reader, plain=False)
    values = [*data["chat_template_kwargs"][:15], None]
    data = data.remove_columns("chat_template_kwargs").add_column("chat_template_kwargs", values)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises(DataError, match=r"\[15\]: TRL gives the column `chat_template_kwargs`"):
        select_dataset(data, model, reader, strategy="best", windows=[1])
    with pytest.raises(TypeError, match="mapping"):
        plain_trainer(tmp_path / "u", train_dataset=data, processing_class=reader)
