"""The bundled teacher set, student and reference: what they hold, and that the scripts make them.

Knows nothing of the scorer. What each score makes of the set is asserted in `test_order`.
"""

from __future__ import annotations

import collections
import importlib
import itertools
import json
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.helpers_programs import run_program, script_program

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "bundled_set"
TEACHER_SET = ROOT / "tasks" / "local_naturalness" / "teachers.jsonl"
REFERENCE = ROOT / "tasks" / "local_naturalness" / "reference.json"
STUDENT = ROOT / "lnat_plugins" / "student"
TEACHERS = ("plain", "slips", "twice", "answer_first", "tics", "backtracks", "bare", "skips")
FIELDS = ["prompt_id", "prompt", "response", "teacher", "correct", "answer"]
PROMPTS = 200
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    lines = TEACHER_SET.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def prompts(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Teacher -> response, for each prompt."""
    by_prompt: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for row in rows:
        by_prompt[row["prompt_id"]][row["teacher"]] = row["response"]
    return list(by_prompt.values())


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import an example script by name, as it is when run from its folder."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def run(script: str, *flags: str) -> str:
    done = run_program(script_program(EXAMPLES / script), flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


# The teacher set


def test_set_is_long_form_with_every_teacher_once_for_every_prompt(rows: list[Any]) -> None:
    assert len(rows) == PROMPTS * len(TEACHERS)
    assert all(list(row) == FIELDS for row in rows)
    assert tuple(row["teacher"] for row in rows[: len(TEACHERS)]) == TEACHERS
    keys = {(row["prompt_id"], row["teacher"]) for row in rows}
    assert keys == set(itertools.product({row["prompt_id"] for row in rows}, TEACHERS))
    assert len({row["prompt"] for row in rows}) == PROMPTS


def test_set_is_small() -> None:
    assert TEACHER_SET.stat().st_size < 1.05 * MEGABYTE


def test_correct_says_whether_the_stated_answer_is_right(rows: list[Any], example: Any) -> None:
    answer_of = example("_recurrence").answer_of
    for row in rows:
        assert (answer_of(row["response"]) == row["answer"]) is row["correct"], row["prompt_id"]


def test_only_the_teacher_that_slips_is_ever_wrong(rows: list[Any]) -> None:
    wrong = collections.Counter(row["teacher"] for row in rows if not row["correct"])
    assert set(wrong) == {"slips"}
    assert 0.15 < wrong["slips"] / PROMPTS < 0.5


def test_teachers_say_what_plain_says_in_their_own_way(prompts: list[dict[str, str]]) -> None:
    for said in prompts:
        *lines, answer = said["plain"].splitlines()
        assert said["twice"].splitlines() == [x for line in lines for x in (line, line)] + [answer]
        assert said["answer_first"].splitlines() == [answer, *lines]
        assert said["skips"].splitlines() == [*lines[::-1][::6][::-1], answer]
        assert [line[-2] for line in said["bare"].splitlines()[:-1]] == [x[-2] for x in lines]
        retold = said["tics"].splitlines()
        assert len(retold) == len(lines) + 1
        assert all(line[:-1] in told for line, told in zip(lines, retold, strict=False))
        attempts = said["backtracks"].splitlines()
        undone = [i for i, line in enumerate(attempts) if line == "Wait, that is wrong."]
        dropped = {*undone, *(i - 1 for i in undone)}
        assert [x for i, x in enumerate(attempts) if i not in dropped] == [*lines, answer]


def test_a_slip_is_one_wrong_sum_and_the_rest_follows_from_it(
    prompts: list[dict[str, str]],
) -> None:
    slips = total = 0
    for said in prompts:
        sums = [tuple(map(int, line[:-1:2])) for line in said["slips"].splitlines()[:-1]]
        slips += sum((left + right) % 10 != value for left, right, value in sums)
        total += len(sums)
        assert all(before[2] == after[0] for before, after in itertools.pairwise(sums))
        assert all(before[2] == after[1] for before, after in zip(sums, sums[6:], strict=False))
    assert 0.01 < slips / total < 0.03


def test_script_writes_the_bundled_bytes(tmp_path: Path) -> None:
    run("make_teacher_set.py", "--output_path", str(tmp_path / "again.jsonl"))
    assert (tmp_path / "again.jsonl").read_bytes() == TEACHER_SET.read_bytes()


def test_another_seed_makes_another_set(tmp_path: Path) -> None:
    run("make_teacher_set.py", "--output_path", str(tmp_path / "other.jsonl"), "--seed", "1")
    assert (tmp_path / "other.jsonl").read_bytes() != TEACHER_SET.read_bytes()


def test_problems_are_recurrences_up_to_the_first_nine(example: Any) -> None:
    recurrence = example("_recurrence")
    rng = random.Random(3)
    for lines in (recurrence.SHORT, recurrence.LONG):
        for _ in range(20):
            digits = recurrence.make_problem(lines, rng).digits
            assert len(digits) - 6 in lines
            sums = [(one + other) % 10 for one, other in zip(digits[5:], digits, strict=False)]
            assert list(digits[6:]) == sums[:-1]
            assert digits.index(9) == len(digits) - 1


# The student


def test_student_learns_from_shorter_problems_only(rows: list[Any], example: Any) -> None:
    from transformers import AutoTokenizer

    recurrence = example("_recurrence")
    assert max(recurrence.SHORT) * 2 < min(recurrence.LONG)
    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    stream = itertools.islice(example("train_student").batches(tokenizer, 7), 10)
    texts = [t for batch in stream for t in tokenizer.batch_decode(batch["input_ids"])]
    assert max(text.count("=") for text in texts) <= max(recurrence.SHORT)
    assert not any(row["prompt"] in text for row in rows for text in texts)


def test_student_is_small_and_complete() -> None:
    assert (STUDENT / "model.safetensors").stat().st_size <= MEGABYTE
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (STUDENT / name).stat().st_size > 0
    assert (STUDENT / "README.md").exists()


def test_student_works_out_a_short_problem(example: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    model = AutoModelForCausalLM.from_pretrained(STUDENT, dtype="auto").eval()
    assert model.dtype == torch.float32
    assert model.config.max_position_embeddings >= 8192
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    short = example("make_teacher_set").problems(50, "a test", example("_recurrence").SHORT)
    accuracy = example("measure_teachers").accuracy(model, tokenizer, short, room=120)
    assert accuracy > 0.9


def test_tokenizer_is_fast_with_offsets_that_tile_the_text(rows: list[Any]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    assert tokenizer.is_fast
    for text in [row["response"] for row in rows[:40]] + ["\n\nAñb 数 🙂\r\n x"]:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        assert tokenizer.decode(encoded["input_ids"]) == text
        ends = [end for _, end in encoded["offset_mapping"]]
        assert ends == sorted(ends) and ends[-1] == len(text)
    assert ".Ċ" in tokenizer.tokenize("1+5=6.\n6+1=7.")
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


# The reference


def test_reference_is_one_that_rank_reads() -> None:
    from lnat_plugins.ranking.reference import read_reference

    reference = read_reference(REFERENCE, TEACHERS)
    assert reference.numeric
    assert tuple(reference.values) == TEACHERS
    assert all(0 <= accuracy <= 1 for accuracy in reference.values.values())


def test_reference_is_the_mean_of_the_runs_that_are_told(example: Any) -> None:
    """`_measured.json` holds every run, and the README beside it the same figures."""
    measured = json.loads((EXAMPLES / "_measured.json").read_text(encoding="utf-8"))
    means = {teacher: sum(runs) / len(runs) for teacher, runs in measured["runs"].items()}
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    assert reference == pytest.approx(means, abs=1e-4)
    assert all(len(runs) >= 3 for runs in measured["runs"].values())
    told = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for teacher, mean in reference.items():
        assert f"| `{teacher}` | {mean:.3f} |" in told


def test_measuring_script_runs(tmp_path: Path, rows: list[Any]) -> None:
    few = tmp_path / "few.jsonl"
    kept = [row for row in rows if row["teacher"] in ("plain", "skips")][:8]
    few.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    run(
        "measure_teachers.py", "--teacher_set", str(few), "--teachers", "skips", "--seeds", "2",
        "--epochs", "1", "--held_out", "2", "--output_path", str(tmp_path / "reference.json"),
        "--details_path", str(tmp_path / "details.json"),
    )  # fmt: skip
    found = json.loads((tmp_path / "reference.json").read_text())
    assert list(found) == ["skips"]
    details = json.loads((tmp_path / "details.json").read_text())
    assert len(details["runs"]["skips"]) == 2
    assert 0 <= details["untuned"] <= 1
