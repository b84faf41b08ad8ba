"""Every chat template that the installed trl ships: what is scored is what TRL trains on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trl
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

from lnat_plugins.errors import DataError
from lnat_plugins.scoring.rows import NOT_TRAINED, Renderer, RowTokens
from lnat_plugins.selection import Selection
from lnat_plugins.selection.training_set import write_training_set
from lnat_plugins.teacher_set import Candidate, Candidates, Response
from tests.helpers_students import student, tokenizer

TEMPLATES = sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))

ASK = {"role": "user", "content": "What is 3 + 4?"}
THOUGHT = "First step. 3 + 4 = 7."
ROWS: dict[str, tuple[tuple[dict[str, str], ...], str]] = {
    "plain": ((ASK,), "Seven. Done."),
    "thinking": ((ASK,), f"<think>\n{THOUGHT}\n</think>\n\nSeven. Done."),
    "thinking that was opened before": ((ASK,), f"{THOUGHT}\n</think>\n\nSeven. Done."),
    "system turn": (({"role": "system", "content": "Think."}, ASK), "Seven. Done."),
    "several turns": (
        (ASK, {"role": "assistant", "content": "Seven."}, {"role": "user", "content": "Is it?"}),
        "Yes. Done.",
    ),
    "white space at the ends": ((ASK,), "\n\nSeven. Done.\n"),
}


def reader_of(template: Path) -> Any:
    found = tokenizer()
    found.bos_token = found.pad_token = "<|end|>"
    found.chat_template = template.read_text(encoding="utf-8")
    return found


def whole(row: RowTokens) -> list[int]:
    found: list[int] = row.ids.tolist()
    return found


def pool_of(reader: Any) -> tuple[list[Candidate], dict[str, str]]:
    """The rows that the template lets through, and why it does not the others."""
    kept: list[Candidate] = []
    refused = {}
    for name, (messages, text) in ROWS.items():
        row = Candidate(len(kept), name, messages, Response("QwQ", text, where=name))
        try:
            Renderer(reader, plain=False).row(row)
            kept.append(row)
        except DataError as error:
            refused[name] = str(error)
    return kept, refused


def in_trl(reader: Any, row: Candidate) -> list[int]:
    turns = [*map(dict, row.messages), {"role": "assistant", "content": row.text}]
    return list(reader.apply_chat_template(turns)["input_ids"])


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_each_row_is_read_as_trl_reads_it_or_refused(template: Path) -> None:
    reader = reader_of(template)
    kept, refused = pool_of(reader)
    for row in kept:
        found = Renderer(reader, plain=False).row(row)
        assert whole(found) == in_trl(reader, row)
        # What stands before the response holds none of it but a tag that the template opens.
        text = reader.decode(found.response.ids)
        assert "".join(text.split()) == "".join(row.text.removeprefix(reads(found)).split())
    for name, why in refused.items():
        row = Candidate(0, name, ROWS[name][0], Response("QwQ", ROWS[name][1], where=name))
        if "does not take this conversation" in why:
            with pytest.raises(Exception):  # noqa: B017, PT011 - a template's own error, in TRL too
                in_trl(reader, row)
            continue
        assert "drops or changes part of the response" in why
        trained = reader.decode(in_trl(reader, row))
        assert "".join(row.text.split()) not in "".join(trained.split())
        assert Renderer(reader, plain=False, strict=False).row(row).notes[0] == NOT_TRAINED


def reads(row: RowTokens) -> str:
    """What of the response the template opens itself."""
    return "<think>\n" if any("writes the beginning" in note for note in row.notes) else ""


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_thinking_that_stands_apart_is_read_where_the_template_takes_it(template: Path) -> None:
    reader = reader_of(template)
    renderer = Renderer(reader, plain=False)
    given = Response("QwQ", "joined by the set", parts=(THOUGHT, "Seven. Done."))
    own = renderer.own(given)
    if renderer.place is None:
        assert own == given
        return
    row = renderer.row(Candidate(0, "p", (ASK,), own))
    turn = {"role": "assistant", "content": "Seven. Done.", renderer.place.key: THOUGHT}
    assert whole(row) == list(reader.apply_chat_template([ASK, turn])["input_ids"])
    text = reader.decode(row.response.ids)
    assert text == own.text
    assert text.index(THOUGHT) < text.index("Seven. Done.")


def test_most_reasoning_templates_have_a_place_for_thinking() -> None:
    """The negative control of the test before."""
    found = {
        path.stem: place.key
        for path in TEMPLATES
        if (place := Renderer(reader_of(path), plain=False).place)
    }
    assert found["qwen3"] == "reasoning_content"
    assert "gptoss" in found
    assert not found.keys() & {"llama3", "gemma", "phi3"}
    assert len(found) >= 20


@pytest.mark.parametrize("format", ["trl", "trl_messages"])
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_the_folder_written_trains_on_the_ids_that_were_scored(
    template: Path, format: str, tmp_path: Path
) -> None:
    reader = reader_of(template)
    kept, refused = pool_of(reader)
    if refused.keys() == ROWS.keys():  # a template for images alone
        return
    pool = Candidates(tuple(kept))
    chosen = tuple(range(len(kept)))
    selection = Selection(
        indices=chosen, weights=(1.0,) * len(kept), scores=(0.0,) * len(kept), reasons={},
        teachers=("QwQ",) * len(kept), prompts=tuple(row.prompt_id for row in kept),
        strategy="best", pool=pool.fingerprint,
    )  # fmt: skip
    write_training_set(tmp_path / "chosen", pool, selection, format=format)
    data = load_dataset(
        "parquet", data_files=str(tmp_path / "chosen" / "data" / "train.parquet"), split="train",
        cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    args = SFTConfig(
        str(tmp_path), use_cpu=True, bf16=False, gradient_checkpointing=None, report_to="none",
        max_steps=1, per_device_train_batch_size=2, max_length=None, save_strategy="no",
        disable_tqdm=True,
    )  # fmt: skip
    trainer = SFTTrainer(student("llama"), args, train_dataset=data, processing_class=reader)
    renderer = Renderer(reader, plain=False)
    rows = [renderer.row(row) for row in kept]
    assert [list(ids) for ids in trainer.train_dataset["input_ids"]] == [*map(whole, rows)]
    if format == "trl":
        for row, labels in zip(rows, trainer.train_dataset["labels"], strict=True):
            first, stop = len(row.prompt), len(row.prompt) + len(row.response.ids)
            assert list(labels[first:stop]) == row.response.ids.tolist()
    assert trainer.train().global_step == 1
