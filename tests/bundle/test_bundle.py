"""The bundled teacher set and student: what they hold, and that the scripts make them.

Knows nothing of the scorer; the order in which the student should place the teachers is written
down in `EXPECTED_ORDER`, for the test that runs the product on this bundle.
"""

from __future__ import annotations

import collections
import importlib
import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "bundled_set"
TEACHER_SET = ROOT / "tasks" / "local_naturalness" / "teachers.jsonl"
STUDENT = ROOT / "lnat_plugins" / "student"
TEACHERS = ("stepwise", "reflective", "leaps", "shuffled", "padded")
FIELDS = ["prompt_id", "prompt", "response", "teacher", "correct", "answer"]
MEGABYTE = 1_000_000

EXPECTED_ORDER = ("stepwise", "shuffled", "leaps", "padded", "reflective")
"""Best first: how the bundled student places the teachers, and why.

The same order by local naturalness (sentence steps, window 4) and by global naturalness, with the
chat template and with the prompt as plain text before two line breaks. Over the 240 prompts every
gap between neighbours is above 0.7 nats per token and above fifteen standard errors of the paired
difference. The test that runs the product scores the set with the student and asserts this order
for both windows; that `shuffled` is at least 0.5 below `stepwise` at window 4; and that at window
0 the two score alike to 1e-4 on each prompt where both are correct and sentences stand on lines.

1. `stepwise` is the register that the student was trained on: each sentence follows from the ones
   before it, and the numbers in it stand in the window.
2. `shuffled` says the same sentences in another order. Each is in register, so it beats all that
   is not; but its numbers and its link words do not follow from what the window shows. At window
   0 order cannot matter: the two teachers are then equal where sentences stand on lines of their
   own, and differ by 0.17 where a space joins them, since the first one has no space before it.
3. `leaps` states numbers that come out of nothing: a digit costs 3.7 nats against 1.6 in
   `stepwise`. Nor has the student met a reply that begins with a result (14 nats for the first
   token against 0.7).
4. `padded` hides the calculations (-3.8 a step) among stock sentences that the student has never
   read (-7.8). It is lower by global (-5.8) than by local naturalness (-5.4), where the short,
   well-known last line counts as a whole step.
5. `reflective` is the furthest from the register: think tags, hesitations and checks. It is higher
   by global (-6.9) than by local naturalness (-7.2), where its short, odd exclamations weigh as
   much as its calculations. The step-mean of the full-context log-probs (-7.2) shows that the
   weighting does this, not the window.

This is a known answer, made so by the choice of training text. It says nothing about which style
teaches a real student best.
"""


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    lines = TEACHER_SET.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import an example script by name, as it is when run from its folder."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def run(script: str, *flags: str) -> str:
    command = [sys.executable, str(EXAMPLES / script), *flags]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def numbers(text: str) -> int:
    """The number that a response ends with."""
    return int(text.rstrip(".").rsplit(" ", 1)[1])


# The teacher set


def test_set_is_long_form_with_every_teacher_once_for_every_prompt(rows: list[Any]) -> None:
    assert len(rows) == 240 * 5
    assert all(list(row) == FIELDS for row in rows)
    keys = {(row["prompt_id"], row["teacher"]) for row in rows}
    assert keys == set(itertools.product({row["prompt_id"] for row in rows}, TEACHERS))
    assert len({row["prompt"] for row in rows}) == 240
    assert len({row["prompt_id"].split("-")[0] for row in rows}) == 8


def test_set_is_small(rows: list[Any]) -> None:
    assert TEACHER_SET.stat().st_size < 1.05 * MEGABYTE


def test_correct_says_whether_the_last_number_is_the_answer(rows: list[Any]) -> None:
    for row in rows:
        assert (numbers(row["response"]) == row["answer"]) is row["correct"], row["prompt_id"]


def test_wrong_answers_differ_in_rate_by_teacher(rows: list[Any]) -> None:
    wrong = collections.Counter(row["teacher"] for row in rows if not row["correct"])
    assert all(0.04 < wrong[teacher] / 240 < 0.13 for teacher in TEACHERS)
    assert len(set(wrong.values())) == 5


def test_shuffled_says_what_stepwise_says_in_another_order(rows: list[Any]) -> None:
    by_prompt: dict[str, dict[str, Any]] = collections.defaultdict(dict)
    for row in rows:
        by_prompt[row["prompt_id"]][row["teacher"]] = row
    for answers in by_prompt.values():
        plain, mixed = answers["stepwise"], answers["shuffled"]
        if plain["correct"] and mixed["correct"]:
            assert plain["response"] != mixed["response"]
            assert sorted(plain["response"].split()) == sorted(mixed["response"].split())


def test_each_style_shows(rows: list[Any]) -> None:
    texts = collections.defaultdict(list)
    for row in rows:
        texts[row["teacher"]].append(row["response"])
    assert all(t.startswith("<think>") and "</think>" in t for t in texts["reflective"])
    assert not any("=" in t for t in texts["leaps"])
    assert all("=" in t for teacher in TEACHERS if teacher != "leaps" for t in texts[teacher])
    length = {teacher: sum(map(len, texts[teacher])) / 240 for teacher in TEACHERS}
    assert length["leaps"] < length["stepwise"] / 3
    assert min(length["padded"], length["reflective"]) > 2 * length["stepwise"]


def test_script_writes_the_bundled_bytes(tmp_path: Path) -> None:
    run("make_teacher_set.py", "--output_path", str(tmp_path / "again.jsonl"))
    assert (tmp_path / "again.jsonl").read_bytes() == TEACHER_SET.read_bytes()


def test_another_seed_makes_another_set(tmp_path: Path) -> None:
    run("make_teacher_set.py", "--output_path", str(tmp_path / "other.jsonl"), "--seed", "1")
    assert (tmp_path / "other.jsonl").read_bytes() != TEACHER_SET.read_bytes()


def test_equations_of_the_problems_hold(example: Any) -> None:
    operations = example("_word_problems").OPERATIONS
    for problem in example("make_teacher_set").problems(80, seed=3):
        assert 3 <= len(problem.steps) <= 6
        for step in problem.steps:
            assert operations[step.op](step.left, step.right) == step.value
            assert step.op != "/" or step.left % step.right == 0


# The student's training text


def test_training_prompts_are_none_of_the_sets(rows: list[Any], example: Any) -> None:
    ours = frozenset(row["prompt"] for row in rows)
    stream = example("_student_text").documents(7, ours)
    seen = {document.prompt for document in itertools.islice(stream, 3000)}
    assert len(seen) > 2000
    assert not seen & ours


def test_a_prompt_of_the_set_is_left_out_of_the_training_text(example: Any) -> None:
    documents = example("_student_text").documents
    first = next(d.prompt for d in documents(7, frozenset()) if d.prompt)
    later = itertools.islice(documents(7, frozenset({first})), 500)
    assert first not in {document.prompt for document in later}


def test_training_text_holds_no_other_register(example: Any) -> None:
    stream = example("_student_text").documents(7, frozenset())
    texts = [document.text for document in itertools.islice(stream, 2000)]
    assert not any("<think>" in text or "Wait" in text or "We know that" in text for text in texts)


# The student


def test_student_is_small_and_complete() -> None:
    assert (STUDENT / "model.safetensors").stat().st_size <= 4 * MEGABYTE
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (STUDENT / name).stat().st_size > 0
    assert (STUDENT / "README.md").exists()


def test_student_loads_in_float32_and_predicts() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    model = AutoModelForCausalLM.from_pretrained(STUDENT, dtype="auto").eval()
    assert model.dtype == torch.float32
    assert model.config.max_position_embeddings >= 8192
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    ids = tokenizer("So the number of pages is 4 * 2 =", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, -1]
    assert tokenizer.decode(logits.argmax()) == " "
    assert torch.isfinite(logits).all()


def test_tokenizer_is_fast_with_offsets_that_tile_the_text(rows: list[Any]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    assert tokenizer.is_fast
    for text in [row["response"] for row in rows[:40]] + ["\n\nAñb 数 🙂\r\n x"]:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        assert tokenizer.decode(encoded["input_ids"]) == text
        ends = [end for _, end in encoded["offset_mapping"]]
        assert ends == sorted(ends) and ends[-1] == len(text)
    assert ".ĊĊ" in tokenizer.tokenize("It is 7.\n\nSo")
    assert len(tokenizer.tokenize("1234")) == 4


def test_tokenizer_speaks_chatml() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "How many?"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    special = tokenizer("<|im_start|><|im_end|>", add_special_tokens=False)["input_ids"]
    assert special == tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])


def test_training_script_runs(tmp_path: Path) -> None:
    printed = run("train_student.py", "--output_dir", str(tmp_path / "s"), "--steps", "2")
    assert "step 2/2" in printed
    names = {path.name for path in (tmp_path / "s").iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"}
    again = (tmp_path / "s" / "tokenizer.json").read_bytes()
    assert again == (STUDENT / "tokenizer.json").read_bytes()
