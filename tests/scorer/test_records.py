"""What is refused, and what a record says about how its numbers came about."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import replace
from typing import Any

import pytest

import lnat_plugins
from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.steps import parse_steps
from lnat_plugins.teacher_set import Response
from lnat_plugins.teacher_set.config import Settings, fingerprint

from .scoring import LONG, scorer_of

PROMPT = [5, 6, 7]


def test_an_empty_prompt_is_refused(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer)
    candidate = Response("QwQ", "Yes.", where="set.jsonl row 3")
    with pytest.raises(StudentError, match="set.jsonl row 3: the prompt has no tokens.*prompt, or"):
        scorer.score([], [candidate])


def test_a_prompt_of_one_token_is_enough(llama: Any, tokenizer: Any) -> None:
    (record,) = scorer_of(llama, tokenizer).score([5], [Response("QwQ", "Yes.")])
    assert record.undefined == {}


def test_missing_steps_are_refused_with_the_row(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, steps="supplied")
    with pytest.raises(DataError, match="set.jsonl row 3: the row carries no steps"):
        scorer.score(PROMPT, [Response("QwQ", "Yes.", where="set.jsonl row 3")])


@pytest.mark.parametrize("steps", [["Yes."], ["Yes. ", "", "No."], ["Yes.", "No."], []])
def test_steps_that_do_not_join_to_the_response_are_refused(
    llama: Any, tokenizer: Any, steps: list[str]
) -> None:
    scorer = scorer_of(llama, tokenizer, steps="supplied")
    with pytest.raises(DataError, match="^set.jsonl row 3: "):
        scorer.score(PROMPT, [Response("QwQ", "Yes. No.", steps=steps, where="set.jsonl row 3")])


def test_a_slow_tokenizer_is_refused_before_anything_is_scored(llama: Any) -> None:
    with pytest.raises(StudentError, match="no character offsets"):
        scorer_of(llama, object())


def test_a_record_says_how_it_came_about(llama: Any, tokenizer: Any) -> None:
    scorer = replace(scorer_of(llama, tokenizer), host={"lm_eval": "0.4.13"})
    (record,) = scorer.score(PROMPT, [Response("QwQ, 32B", LONG, "b")])
    assert (record.teacher, record.sample) == ("QwQ, 32B", "b")
    assert record.path == "packed"
    assert record.settings == Settings().as_dict()
    assert record.settings_hash == Settings().fingerprint
    assert record.splitter == str(parse_steps("sentence"))
    assert record.versions == {
        "lnat_plugins": lnat_plugins.__version__,
        "torch": importlib.metadata.version("torch"),
        "transformers": importlib.metadata.version("transformers"),
        "lm_eval": "0.4.13",
    }


@pytest.mark.parametrize("max_length", [None, 40])
def test_a_record_survives_json(llama: Any, tokenizer: Any, max_length: int | None) -> None:
    scorer = scorer_of(llama, tokenizer, ("1", "4", "10%", "global"), max_length=max_length)
    (record,) = scorer.score(PROMPT, [Response("Ünï", LONG)])
    assert bool(record.undefined) is (max_length is not None)
    text = record.to_json()
    back = StepSums.from_json(text)
    assert back.to_json() == text
    assert "\n" not in text and json.loads(text)["teacher"] == "Ünï"
    assert (back.spans, back.tokens, back.undefined) == (
        record.spans,
        record.tokens,
        record.undefined,
    )


SETTINGS = Settings().as_dict() | {"chat_template": None, "system_instruction": None}


@pytest.mark.parametrize(
    "change",
    [
        {"steps": "line"},
        {"windows": ["4"]},
        {"windows": ["global", "4"]},
        {"windows": ["5", "global"]},
        {"target_delimiter": "\n"},
        {"target_delimiter": ""},
        {"chat_template": "0123456789ab"},
        {"system_instruction": "Be brief."},
        {"system_instruction": ""},
    ],
)
def test_every_setting_is_in_the_fingerprint(
    llama: Any, tokenizer: Any, change: dict[str, Any]
) -> None:
    first = replace(scorer_of(llama, tokenizer), settings=SETTINGS)
    second = replace(first, settings=SETTINGS | change)
    (one,) = first.score(PROMPT, [Response("t", "Yes.")])
    (two,) = second.score(PROMPT, [Response("t", "Yes.")])
    assert one.settings_hash == fingerprint(SETTINGS) != two.settings_hash
    assert two.settings == SETTINGS | change


def test_the_fingerprint_does_not_depend_on_the_order_of_the_settings() -> None:
    assert fingerprint(SETTINGS) == fingerprint(dict(reversed(SETTINGS.items())))
