"""`mix_answers` in a trainer: what it trains on, and where it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from lnat_plugins.errors import ConfigError
from lnat_plugins.hooks.trl_data import select_dataset
from lnat_plugins.hooks.trl_sft import NaturalnessCallback
from tests.helpers_students import student
from tests.hooks.builders import natural, padded, plain_trainer, stored

BLOCK = {"strategy": "all", "mix_answers": 0.5}
THOUGHT = "First step. Wait."


def thinking(format: str) -> Dataset:
    """Two prompts, on the first of which two teachers agree; the last row has no thinking."""
    rows = []
    for prompt, teacher, answer in (("p0", "QwQ", 7), ("p0", "R1", 7), ("p1", "QwQ", 7),
                                    ("p1", "R1", 8), ("p0", "DSQ", 7)):  # fmt: skip
        text = f"So \\boxed{{{answer}}}"
        if teacher != "DSQ":
            more = " Done." if teacher == "R1" else ""
            text = f"<think>\n{THOUGHT}{more}\n</think>\n\n{text}"
        user = [{"role": "user", "content": prompt}]
        assistant = [{"role": "assistant", "content": text}]
        texts: dict[str, Any] = {
            "messages": {"messages": user + assistant},
            "conversations": {"prompt": user, "completion": assistant},
            "plain": {"prompt": f"{prompt}\n\n", "completion": text},
        }[format]
        rows.append({**texts, "teacher": teacher})
    return Dataset.from_list(rows)


@pytest.mark.parametrize("format", ["messages", "conversations", "plain"])
def test_the_trainer_gets_the_answers_alone(tmp_path: Path, format: str) -> None:
    trainer = natural(tmp_path, BLOCK, train_dataset=thinking(format))
    texts = [trainer.processing_class.decode(one["input_ids"]) for one in trainer.train_dataset]
    assert [THOUGHT in text for text in texts] == [False, False, True, True, False]
    assert all("So \\boxed{" in text for text in texts)
    assert trainer.selection.answers_only == (0, 1)
    assert trainer.selection.answers_left_whole == (4,)
    assert stored(tmp_path).answers_only == (0, 1)
    trainer.train()
    first = next(log for log in trainer.state.log_history if "lnat/chosen" in log)
    assert first["lnat/answers_only"] == 2


@pytest.mark.parametrize("format", ["messages", "conversations", "plain"])
def test_select_dataset_says_which_rows_it_changed(format: str) -> None:
    given = thinking(format)
    chosen = select_dataset(given, student("llama"), padded(), **BLOCK)
    assert chosen["lnat_answer_only"] == [True, True, False, False, False]
    assert [THOUGHT in json.dumps(row) for row in chosen] == [False, False, True, True, False]
    assert chosen.features[given.column_names[0]] == given.features[given.column_names[0]]
    assert all(THOUGHT in json.dumps(row) for row in given.select(range(4)))  # left as it was


def test_thinking_in_a_key_of_its_own_is_taken_away() -> None:
    rows = [
        {"prompt": [{"role": "user", "content": "p"}], "teacher": teacher,
         "completion": [{"role": "assistant", "content": "\n\nSo \\boxed{7}",
                         "reasoning_content": thought}]}
        for teacher, thought in (("QwQ", THOUGHT), ("R1", f"{THOUGHT} {THOUGHT}"))
    ]  # fmt: skip
    tokenizer = padded()
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ m['content'] }}",
        "{% if m.get('reasoning_content') %}<think>\n{{ m['reasoning_content'] }}\n</think>"
        "{% endif %}{{ m['content'] }}",
    )
    block = {"strategy": "all", "mix_answers": 1}
    chosen = select_dataset(Dataset.from_list(rows), student("llama"), tokenizer, **block)
    assert chosen["lnat_answer_only"] == [True, True]
    for row in chosen:
        (turn,) = row["completion"]
        assert turn == {"role": "assistant", "content": "So \\boxed{7}", "reasoning_content": None}


def test_a_trainer_that_has_tokenised_its_rows_refuses_it(tmp_path: Path) -> None:
    trainer = plain_trainer(tmp_path, train_dataset=thinking("messages"))
    with pytest.raises(ConfigError, match="`mix_answers` changes texts.*Use NaturalSFTTrainer"):
        NaturalnessCallback(BLOCK).attach(trainer)
