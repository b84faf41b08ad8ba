"""What is known of a student before a row is read: held against the model and the template."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import pytest
import torch

from lnat_plugins.engine.engine import Engine
from lnat_plugins.errors import StudentError
from lnat_plugins.scoring.backend import Sum
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.sanity import student_facts
from lnat_plugins.teacher_set.thinking import TAGS, split_thinking
from tests.helpers_students import assert_near
from tests.scoring.builders import OnlyTotals

PLAIN = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
OPENED = "{% if add_generation_prompt %}[assistant] {% endif %}"
AFTER = "{% for m in messages %}[{{ m.role }}] {{ m.content.split(TAG)[-1] }}\n{% endfor %}"


def with_template(tokenizer: Any, template: str) -> Any:
    """A copy of it; `TAG` in the template stands for ``</think>``."""
    copied = deepcopy(tokenizer)
    copied.chat_template = template.replace("TAG", "'</think>'")
    return copied


@pytest.fixture(scope="module")
def backend(llama: Any) -> EngineBackend:
    return EngineBackend(Engine(llama))


def test_without_a_template_little_is_asked(tokenizer: Any, backend: Any) -> None:
    found = student_facts(tokenizer, backend, template=False, max_length=None)
    assert found == {"vocabulary": len(tokenizer), "max_length": None}


@pytest.mark.parametrize(
    ("template", "hidden"), [(PLAIN + OPENED, []), (AFTER + OPENED, ["</think>"])]
)
def test_whose_thinking_a_template_hides(
    template: str, hidden: list[str], tokenizer: Any, backend: Any
) -> None:
    student = with_template(tokenizer, template)
    found = student_facts(student, backend, template=True, max_length=50)
    assert (found["hidden_thinking"], found["max_length"]) == (hidden, 50)


@pytest.mark.parametrize("closing", TAGS.values())
def test_each_closing_tag_is_looked_for(closing: str, tokenizer: Any, backend: Any) -> None:
    student = with_template(tokenizer, AFTER.replace("TAG", f"'{closing}'") + OPENED)
    found = student_facts(student, backend, template=True, max_length=None)
    assert found["hidden_thinking"] == [closing]


@pytest.mark.parametrize(("opening", "closing"), TAGS.items())
def test_each_pair_of_tags_is_one_that_ends_a_thinking_part(opening: str, closing: str) -> None:
    found = split_thinking(f"{opening}\nSo.\n{closing}\n\n7")
    assert (found.thinking, found.body) == ("\nSo.\n", "\n\n7")


def test_the_mean_log_p_of_the_template_s_own_tokens(
    tokenizer: Any, backend: Any, llama: Any
) -> None:
    student = with_template(tokenizer, PLAIN + OPENED)
    found = student_facts(student, backend, template=True, max_length=None)
    before, after = (
        student(text, add_special_tokens=False)["input_ids"]
        for text in ("[user] What is 3 + 4?", "\n[assistant] ")
    )
    with torch.inference_mode():
        logits = llama(torch.tensor([before + after])).logits[0].double()
    logprobs = logits.log_softmax(-1)[range(len(before) - 1, len(before + after) - 1), after]
    assert_near(found["template_logprob"], float(logprobs.mean()))


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.content }}{% endfor %}",  # nothing after the question
        "{{ raise_exception('tools are needed') }}",  # no plain conversation
    ],
)
def test_what_cannot_be_asked_is_left_out(template: str, tokenizer: Any, backend: Any) -> None:
    student = with_template(tokenizer, template)
    found = student_facts(student, backend, template=True, max_length=None)
    assert "template_logprob" not in found


def test_by_another_back_end_the_template_s_tokens_are_not_scored(tokenizer: Any) -> None:
    student = with_template(tokenizer, PLAIN + OPENED)
    other: Any = OnlyTotals(Sum(-math.inf))
    found = student_facts(student, other, template=True, max_length=None)
    assert found == {"vocabulary": len(tokenizer), "max_length": None, "hidden_thinking": []}


def test_a_tokenizer_without_offsets_is_refused(backend: Any) -> None:
    with pytest.raises(StudentError, match="no character offsets"):
        student_facts(object(), backend, template=False, max_length=None)
