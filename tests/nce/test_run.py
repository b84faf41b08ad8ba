"""Row weights of two students: by the definition, on its edges, and what is refused."""

from __future__ import annotations

import copy
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

import lnat_plugins
from lnat_plugins import NceWeights, load_teacher_set, nce_weights
from lnat_plugins.engine import projection
from lnat_plugins.errors import StudentError
from lnat_plugins.gradients.draw import NO_TOKEN, TOO_LONG
from lnat_plugins.nce.run import NOT_FINITE, check_same_tokenizer, divergences
from lnat_plugins.selection.weights import text_digest
from lnat_plugins.teacher_set import TeacherSet
from tests.harness.lab import write_set
from tests.helpers_students import student, tokenizer

from . import oracle

ROWS = [
    {"prompt_id": "p0", "prompt": "What is 3 + 4?", "teacher": "A", "response": "Wait. Seven."},
    {
        "prompt_id": "p0", "prompt": "What is 3 + 4?", "teacher": "B",
        "response": "<think>\nSo 3 + 4 = 7.\n</think>\n\nDone.",
    },
    {"prompt_id": "p1", "prompt": "What is 1 + 4?", "teacher": "A", "response": "So: 结果是五"},
    {
        "prompt_id": "p1", "prompt": "What is 1 + 4?", "teacher": "B",
        "response": "<think>\n</think>",
    },
]  # fmt: skip
READ = [row for row in ROWS if row["response"] != "<think>\n</think>"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TeacherSet:
    return load_teacher_set(write_set(tmp_path_factory.mktemp("set"), ROWS))


def pair(name: str = "llama", **changes: Any) -> tuple[Any, Any]:
    return student(name, **changes), student(name, seed=1, **changes)


def weights(given: TeacherSet, positive: Any, negative: Any, **options: Any) -> NceWeights:
    return nce_weights(positive, negative, tokenizer(), given, **options)


@pytest.mark.parametrize("name", ["llama", "granite", "gemma2_sliding"])
@pytest.mark.parametrize("plain", [False, True])
def test_it_is_the_definition(small: TeacherSet, name: str, plain: bool) -> None:
    """Two of them scale or cap their logits after the head, so they are not made in chunks."""
    positive, negative = pair(name)
    found = weights(small, positive, negative, apply_chat_template=not plain)
    known = [row for row in found.rows if not row.reason]
    assert [(row.prompt_id, row.teacher, row.sample) for row in known] == [
        (row["prompt_id"], row["teacher"], 0) for row in READ
    ]
    words = tokenizer()
    for row, given in zip(known, READ, strict=True):
        read = oracle.read(words, given["prompt"], given["response"], "\n\n" if plain else None)
        kl = oracle.mean_kl(positive, negative, read)
        assert kl > 0.01
        assert row.kl == pytest.approx(kl, rel=1e-4, abs=1e-6)
        assert row.lnat_weight == pytest.approx(0.5 + math.tanh(kl), rel=1e-4)
        assert row.tokens == sum(read[2])
        assert row.response == text_digest(given["response"])


def test_the_direction_is_from_negative_to_positive(small: TeacherSet) -> None:
    positive, negative = pair()
    there, back = weights(small, positive, negative), weights(small, negative, positive)
    assert there.rows[0].kl != pytest.approx(back.rows[0].kl, rel=1e-3)


def test_one_student_twice_weighs_a_half(small: TeacherSet) -> None:
    model = student()
    found = weights(small, model, copy.deepcopy(model))
    assert {row.lnat_weight for row in found.rows if not row.reason} == {0.5}
    assert {row.lnat_weight for row in weights(small, model, model).rows if not row.reason} == {0.5}


def test_chunks_change_nothing(small: TeacherSet, monkeypatch: pytest.MonkeyPatch) -> None:
    positive, negative = pair()
    whole = weights(small, positive, negative)
    monkeypatch.setattr(projection, "CHUNK_BYTES", 4 * 400 * 2)
    sizes: list[int] = []
    handle = positive.lm_head.register_forward_hook(
        lambda _, given, out: sizes.append(out.shape[-2])
    )
    chunked = weights(small, positive, negative)
    handle.remove()
    assert max(sizes) <= 2 < len(sizes)
    for one, other in zip(whole.rows, chunked.rows, strict=True):
        assert one.kl == pytest.approx(other.kl, abs=1e-6, nan_ok=True)


def test_adapters_of_one_base(small: TeacherSet) -> None:
    base = student()
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_dropout=0.5)

    def adapted(seed: int) -> Any:
        torch.manual_seed(seed)
        model = get_peft_model(copy.deepcopy(base), config)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=2.0)
        return model

    positive, negative = adapted(1), adapted(2)
    found = weights(small, positive, negative)
    merged = [copy.deepcopy(one).merge_and_unload() for one in (positive, negative)]
    expected = weights(small, *merged)
    assert found.rows[0].kl > 1e-3
    for one, other in zip(found.rows, expected.rows, strict=True):
        assert one.kl == pytest.approx(other.kl, rel=1e-3, nan_ok=True)
    assert positive.training == get_peft_model(copy.deepcopy(base), config).training


def test_students_are_left_as_they_were(small: TeacherSet) -> None:
    positive, negative = pair()
    positive.train()
    weights(small, positive, negative)
    assert positive.training and not negative.training
    assert all(weight.grad is None for weight in positive.parameters())


# rows without a weight


def test_a_row_without_a_token_to_score_has_no_weight(small: TeacherSet) -> None:
    found = weights(small, *pair())
    last = found.rows[-1]
    assert math.isnan(last.lnat_weight) and math.isnan(last.kl) and last.reason == NO_TOKEN
    assert "1 undefined: no token to score." in found.to_markdown()


def test_a_row_that_one_student_cannot_read_whole(tmp_path: Path) -> None:
    given = load_teacher_set(
        write_set(tmp_path, [ROWS[0], {**ROWS[1], "response": "So 3 + 4 = 7. " * 40}])
    )
    positive, negative = pair()
    negative = student(seed=1, max_position_embeddings=200)
    first, second = weights(given, positive, negative).rows
    assert not first.reason and second.reason == TOO_LONG and math.isnan(second.lnat_weight)


def test_a_divergence_that_is_no_number(small: TeacherSet) -> None:
    positive, negative = pair()
    with torch.no_grad():
        negative.model.norm.weight.fill_(math.nan)
    found = weights(small, positive, negative)
    assert {row.reason for row in found.rows} == {NOT_FINITE, NO_TOKEN}
    assert all(math.isnan(row.lnat_weight) for row in found.rows)


def test_tokens_of_probability_zero() -> None:
    """What both rule out adds nothing; what the first alone rules out, very much."""
    gone = -torch.inf
    one = torch.tensor([[0.0, 1.0, gone], [0.0, 1.0, gone]])
    other = torch.tensor([[1.0, 0.0, gone], [1.0, 0.0, 1.0]])
    both, alone = divergences(one, other).tolist()
    assert both == pytest.approx((math.e - 1) / (math.e + 1), rel=1e-5)
    assert alone > 1000


def test_rounding_gives_nothing_below_zero() -> None:
    torch.manual_seed(0)
    logits = torch.randn(200, 500) * 5
    found = divergences(logits, logits + 1e-6 * torch.randn(200, 500))
    assert (found >= 0).all() and found.max() < 1e-5


# what is refused


def test_another_vocabulary(small: TeacherSet) -> None:
    with pytest.raises(StudentError) as caught:
        weights(small, student(), student(vocab_size=401))
    assert str(caught.value) == (
        "two students with different vocabularies cannot be compared (found '400 and 401 tokens'). "
        "Give two students of one base model."
    )


def test_another_tokenizer() -> None:
    check_same_tokenizer(tokenizer(), tokenizer())
    padded = tokenizer()
    padded.pad_token = padded.eos_token
    padded("What?", padding="max_length", max_length=9, truncation=True)
    check_same_tokenizer(tokenizer(), padded)
    other, added = tokenizer(), tokenizer()
    other.chat_template = "{{ messages[0]['content'] }}"
    added.add_tokens(["<new>"])
    with pytest.raises(StudentError, match="another chat template"):
        check_same_tokenizer(tokenizer(), other)
    with pytest.raises(StudentError, match="another tokens") as caught:
        check_same_tokenizer(tokenizer(), added)
    assert "\n" not in str(caught.value)


def test_no_memory(small: TeacherSet, monkeypatch: pytest.MonkeyPatch) -> None:
    positive, negative = pair()
    plain_forward = type(negative).forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is negative and kwargs["input_ids"].shape[1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain_forward(self, *args, **kwargs)

    monkeypatch.setattr(type(negative), "forward", forward)
    with pytest.raises(StudentError, match="ran out of memory on a response"):
        weights(small, positive, negative)


def test_the_plan_and_what_is_to_be_said(
    small: TeacherSet,
    progress_bars_on: None,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = tokenizer()
    words.chat_template = words.chat_template.replace(
        "{{ m['role'] }}\n", "{{ m['role'] }}\n{% if m['role'] == 'assistant' %}Note. {% endif %}"
    )
    with caplog.at_level(logging.WARNING):
        found = nce_weights(*pair(), words, small)
    assert "puts other text before the response in training" in caplog.text
    plan = f"plan: 2 prompts, 4 responses, {found.tokens:,} tokens to read by each of two students"
    assert plan in capsys.readouterr().err


def test_names() -> None:
    assert lnat_plugins.nce_weights is nce_weights and lnat_plugins.NceWeights is NceWeights
