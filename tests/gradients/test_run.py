"""Teachers by their gradients: the equations from text to figure, draws, edges and refusals."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lnat_plugins
from lnat_plugins import GradientScores, gradient_scores, load_teacher_set
from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.gradients import run
from lnat_plugins.gradients.draw import ABSENT, NO_TOKEN, ONE_TOKEN, TOO_LONG
from lnat_plugins.gradients.grace import folds_of
from lnat_plugins.ranking.bootstrap import resampled_means
from lnat_plugins.teacher_set import TeacherSet
from tests.harness.lab import write_set
from tests.helpers_students import CHATML, student, token_steps, tokenizer

from . import oracle
from .matrices import matrix

TEXTS = (
    "First step. Second step. So 3 + 4 = 7. Wait. Done. Now the next one.",
    "Second step.\n\nThird one: done.",
    "So three and four are seven. Wait, is that so? Yes.",
    "<think>\nFirst step. Wait.\n</think>\n\nDone. Seven.",
    "Third one: done. Wait. So 3 + 4 = 7, and done.",
)
SMALL: dict[str, Any] = {"dimension": 6, "folds": 2, "bootstrap_iters": 200, "seed": 3}


def rows(prompts: int = 5, teachers: str = "AB", samples: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "prompt_id": f"p{i}", "prompt": f"What is {i} + 4?", "teacher": teacher,
            "sample": sample, "response": TEXTS[(i + 3 * j + sample) % len(TEXTS)],
        }
        for i in range(prompts)
        for j, teacher in enumerate(teachers)
        for sample in range(samples)
    ]  # fmt: skip


def teacher_set(folder: Path, given: list[dict[str, Any]], **block: Any) -> TeacherSet:
    return load_teacher_set(write_set(folder, given, block=block))


def scores(given: TeacherSet, model: Any = None, **options: Any) -> GradientScores:
    return gradient_scores(model or student(), tokenizer(), given, **{**SMALL, **options})


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TeacherSet:
    return teacher_set(tmp_path_factory.mktemp("set"), rows())


def figures(found: GradientScores) -> list[tuple[float, ...]]:
    return [
        (one.grace, one.variance, one.bias, one.g_norm, one.g_vendi) for one in found.teachers
    ]  # fmt: skip


def small_student(chosen: str) -> Any:
    """With few parameters, since the oracle holds the whole matrix; in float64."""
    changes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1} | {
        "num_attention_heads": 2, "num_key_value_heads": 1
    }  # fmt: skip
    return student(**({} if chosen == "lora" else changes)).double()


def leaves_of(model: Any, chosen: str) -> list[torch.Tensor]:
    """The oracle's own: `lora` is tested against peft elsewhere."""
    return list(model.parameters()) if chosen == "all" else [model.lm_head.weight]


@pytest.mark.parametrize("kind", ["sketch", "rademacher"])
@pytest.mark.parametrize("chosen", ["all", "last_layer"])
def test_from_text_to_figure_by_the_equations(
    tmp_path: Path, kind: Any, chosen: Any
) -> None:  # fmt: skip
    given = rows(prompts=5, samples=2)
    model, words = small_student(chosen), tokenizer()
    found = scores(
        teacher_set(tmp_path, given, columns={"sample": "sample"}), model, projection=kind,
        parameters=chosen, smoothing=0.01,
    )  # fmt: skip
    leaves = leaves_of(model, chosen)
    size = sum(leaf.numel() for leaf in leaves)
    assert found.size == size and sorted(found.prompts) == [f"p{i}" for i in range(5)]
    fold_of = dict(zip(found.prompts, folds_of(5, 2, 3), strict=True))
    pi = matrix(kind, 6, size, 3)
    words.chat_template = CHATML
    for one in found.teachers:
        h, folds = [], []
        for row in given:
            if row["teacher"] != one.teacher:
                continue
            prompt = words.apply_chat_template(
                [{"role": "user", "content": row["prompt"]}], tokenize=False,
                add_generation_prompt=True,
            )  # fmt: skip
            tokens = [token for step in token_steps(words, row["response"], "sentence")
                      for token in step]  # fmt: skip
            ids, scored = map(list, zip(*tokens, strict=True))
            g = oracle.gradient(model, leaves, words.encode(prompt), ids, scored)
            h.append(math.log(sum(scored)) * (pi @ g))
            folds.append(fold_of[row["prompt_id"]])
        stacked = np.array(h)
        assert one.responses == 10
        assert one.grace == pytest.approx(oracle.grace(stacked, folds, 0.01), rel=1e-6)
        assert one.g_norm == pytest.approx(np.mean([row @ row for row in h]), rel=1e-6)


def test_float32_is_near(small: TeacherSet) -> None:
    single, double = student(), student().double()
    for one, other in zip(
        figures(scores(small, single)), figures(scores(small, double)), strict=True
    ):
        assert one == pytest.approx(other, rel=1e-3)


def test_a_seed_gives_the_same_figures(small: TeacherSet) -> None:
    assert figures(scores(small)) == figures(scores(small))
    others = [figures(scores(small, seed=seed)) for seed in (4, 5)]
    assert all(other != figures(scores(small)) for other in others)


def test_the_order_of_rows_and_teachers_changes_nothing(tmp_path: Path) -> None:
    first = scores(teacher_set(tmp_path / "a", rows()))
    given = rows()
    swapped = [row for pair in zip(given[1::2], given[::2], strict=True) for row in pair]
    second = scores(teacher_set(tmp_path / "b", swapped))
    assert [one.teacher for one in second.teachers] == ["B", "A"]
    for one, other in zip(figures(first), reversed(figures(second)), strict=True):
        assert one == pytest.approx(other, rel=1e-9)


def test_intervals_draw_prompts_and_keep_the_spectra(small: TeacherSet) -> None:
    """By the definition: each prompt's part of GRACE, drawn anew for both teachers alike."""
    found = scores(small, folds=5)  # a prompt a fold
    assert found.teachers[0].low < found.teachers[0].grace < found.teachers[0].high
    shares = [one.first_in for one in found.teachers]
    assert sum(shares) == pytest.approx(1)
    nothing = scores(small, bootstrap_iters=0)
    assert all(math.isnan(one.low) and math.isnan(one.first_in) for one in nothing.teachers)
    assert figures(nothing) == figures(scores(small))


def test_an_interval_is_that_of_the_parts() -> None:
    random = np.random.default_rng(0)
    parts = random.uniform(1, 2, size=(6, 4))
    of_teacher = {
        name: [(_Row(place), parts[place] * scale) for place in range(6)]
        for name, scale in (("A", 1.0), ("B", 1.5))
    }
    found = run._figures(of_teacher, range(6), 6, 1e-3, 9, 500)  # type: ignore[arg-type]
    norms = []
    for place in range(6):
        others = np.delete(parts, place, axis=0)
        norms.append(parts[place] @ oracle.inverse(others, 1e-3) @ parts[place])
    drawn = resampled_means(np.array(norms)[:, None], 500, 9)[:, 0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found[0].low, found[0].high) == pytest.approx((low, high))
    assert found[1].grace == pytest.approx(2.25 * found[0].grace)
    assert (found[0].first_in, found[1].first_in) == (1.0, 0.0)


class _Row:
    """Of a drawn row what the figures need."""

    def __init__(self, prompt: int) -> None:
        self.prompt = prompt
        self.targets = np.array([1, 2])


# which responses count


def test_every_teacher_has_the_same_prompts_and_as_many_responses(tmp_path: Path) -> None:
    given = rows(prompts=6, teachers="ABC", samples=3)
    given = [row for row in given if (row["prompt_id"], row["teacher"]) != ("p4", "C")]
    given = [row for row in given if (row["prompt_id"], row["teacher"], row["sample"])
             not in {("p1", "A", 1), ("p1", "A", 2)}]  # fmt: skip
    given_set = teacher_set(tmp_path, given, columns={"sample": "sample"})
    found = scores(given_set, samples=2)
    assert sorted(found.prompts) == ["p0", "p1", "p2", "p3", "p5"]
    assert {one.responses for one in found.teachers} == {2 * 4 + 1}
    assert found.left_out == {ABSENT: 1}
    fewer = scores(given_set, prompts=2, samples=1)
    assert len(fewer.prompts) == 2 and {one.responses for one in fewer.teachers} == {2}


def test_what_cannot_be_used_is_left_out_for_all_and_counted(tmp_path: Path) -> None:
    given = rows(prompts=6)
    given[0]["response"] = "."  # one token
    given[3]["response"] = "<think>\n</think>"  # tags alone
    given[4]["response"] = "So 3 + 4 = 7. " * 40
    found = scores(teacher_set(tmp_path, given), student(max_position_embeddings=200))
    assert found.left_out == {ONE_TOKEN: 1, NO_TOKEN: 1, TOO_LONG: 1}
    assert sorted(found.prompts) == ["p3", "p4", "p5"]
    assert {one.responses for one in found.teachers} == {3}
    text = found.to_markdown()
    assert "1 left out: longer than the student's context." in text


def test_tags_are_not_scored_unless_kept(tmp_path: Path) -> None:
    given = rows()
    skipped = scores(teacher_set(tmp_path / "skip", given))
    kept = scores(teacher_set(tmp_path / "keep", given, markers="keep"))
    assert kept.teachers[0].tokens > skipped.teachers[0].tokens
    assert kept.tokens == skipped.tokens


def test_a_gradient_that_is_not_finite_leaves_its_prompt_out(
    small: TeacherSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = run._Reader.read
    count = Counter[str]()

    def broken(self: Any, row: Any) -> Any:
        count["read"] += 1
        return run.NOT_FINITE if count["read"] == 3 else values(self, row)

    monkeypatch.setattr(run._Reader, "read", broken)
    found = scores(small)
    assert found.left_out == {run.NOT_FINITE: 1}
    assert len(found.prompts) == 4 and {one.responses for one in found.teachers} == {4}
    assert all(math.isfinite(one.grace) for one in found.teachers)


def test_grace_is_undefined_with_the_reason_where_too_few_prompts_are_left(
    small: TeacherSet,
) -> None:
    model = student()
    with torch.no_grad():
        model.lm_head.weight[:] = math.nan
    found = scores(small, model)
    for one in found.teachers:
        assert math.isnan(one.grace) and math.isnan(one.g_norm) and math.isnan(one.first_in)
        assert one.reason == "0 prompts left for 2 folds"
    assert found.order == "" and found.left_out == {run.NOT_FINITE: 10}
    assert "A: GRACE is undefined: 0 prompts left for 2 folds." in found.to_markdown()
    values = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert values["teachers"][0]["grace"] is None


def test_a_gradient_of_zero_has_no_direction(small: TeacherSet) -> None:
    model = student()
    with torch.no_grad():  # the head reads nothing from the hidden states, and they change nothing
        model.lm_head.weight[:] = 0
        model.model.norm.weight[:] = 0
    found = scores(small, model)
    assert found.left_out == {run.ZERO: 10}


# refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": 1}, "gradients: prompts: this must be 2 or more (found 1)"),
        ({"samples": 0}, "gradients: samples: this must be 1 or more"),
        ({"dimension": 0}, "gradients: dimension: this must be 1 or more"),
        ({"dimension": 8193}, "gradients: dimension: this must be 8192 or less"),
        ({"folds": 1}, "gradients: folds: this must be 2 or more"),
        ({"prompts": 4, "folds": 5}, "a fold holds a prompt at least (found '5 folds of 4 prom"),
        ({"smoothing": 0.0}, "gradients: smoothing: this must be above 0"),
        ({"smoothing": math.nan}, "gradients: smoothing: this must be above 0"),
        ({"parameters": "last"}, "no such choice (found 'last'). Did you mean 'last_layer'?"),
        ({"projection": "dense"}, "gradients: projection: no such choice (found 'dense')"),
        ({"seed": -1}, "seed is below 0"),
        ({"bootstrap_iters": -1}, "bootstrap_iters is below 0"),
    ],
)  # fmt: skip
def test_options_are_refused_in_one_line(
    small: TeacherSet, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        scores(small, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_too_few_prompts_are_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run._Reader, "read", None)
    given = [
        row for row in rows(teachers="ABC") if row["prompt_id"] == "p0" or row["teacher"] < "C"
    ]
    with pytest.raises(DataError, match="found '1 prompt for 2 folds; 4 left out: a prompt that"):
        scores(teacher_set(tmp_path, given))


def test_a_template_that_is_not_there_is_refused(small: TeacherSet) -> None:
    words = tokenizer()
    words.chat_template = None
    with pytest.raises(StudentError, match="no chat template to apply"):
        gradient_scores(student(), words, small, apply_chat_template=True, **SMALL)
    plain = gradient_scores(student(), words, small, **SMALL)
    assert figures(plain) != figures(scores(small))
    assert figures(plain) == figures(scores(small, apply_chat_template=False))


def test_no_memory_is_one_line(small: TeacherSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.autograd, "grad", full)
    with pytest.raises(StudentError, match="no memory for the gradient of a response"):
        scores(small)


def test_a_token_that_the_student_lacks_is_refused(small: TeacherSet) -> None:
    with pytest.raises(StudentError, match="the student's embedding has 60"):
        scores(small, student(vocab_size=60))


def test_it_is_public() -> None:
    assert {"gradient_scores", "GradientScores"} <= set(lnat_plugins.__all__)
