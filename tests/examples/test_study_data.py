"""The shipped study's problems, teachers and files: answers, what teachers claim, and the layout.

Answers and steps are checked against oracles that read the prompt's text and nothing else.
"""

from __future__ import annotations

import importlib
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from lnat_plugins import load_teacher_set, run_studies
from lnat_plugins.study.spec import read_study
from lnat_plugins.study.units import units_of
from lnat_plugins.teacher_set.degenerate import degenerate_kinds

from .scripts import EXAMPLES, run

STUDY = EXAMPLES / "study"
NAMES = ("recurrence", "addition", "walk")
PROMPTS = 60
RIGHT = (
    "plain", "leap2", "leap4", "foreign", "notation", "shuffled", "answer_first", "padded", "tics",
    "checks", "backtracks", "numbered", "twice", "answer_only", "restated", "other_problem",
)  # fmt: skip


def load(name: str) -> ModuleType:
    """A script of the study, as it is when run from its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUDY))
        return importlib.import_module(name)


families, teachers = load("families"), load("teachers")
per_family = pytest.mark.parametrize("name", NAMES)


def sample(name: str, part: str = "teachers", count: int = PROMPTS) -> list[Any]:
    family = families.FAMILIES[name]
    lengths = family.taught if part == "teachers" else family.tested
    return list(families.problems(family, part, count, 1, lengths))


def responses(teacher: str, name: str) -> list[tuple[Any, str]]:
    family = families.FAMILIES[name]
    return [(one, teachers.respond(teacher, one, family, 1)) for one in sample(name)]


# Oracles: prompt -> lines of the exact working, and the answer


def recurrence(prompt: str) -> tuple[list[str], int]:
    digits = [int(sign) for sign in re.findall(r"\d", prompt)[:6]]
    lines = []
    while 9 not in digits:
        new = int(str(digits[-1] + digits[-6])[-1])
        lines.append(f"{digits[-1]}+{digits[-6]}={new}.")
        digits.append(new)
    return lines, digits[digits.index(9) - 1]


def addition(prompt: str) -> tuple[list[str], int]:
    numbers = re.findall(r"([A-P])(\d\d)", prompt)
    labels = "".join(label for label, _ in numbers)
    assert labels in "ABCDEFGHIJKLMNOP"
    total, lines = int(numbers[0][1]), []
    for label, number in numbers[1:]:
        before, total = f"{total:02d}", (total + int(number)) % 100
        ones = int(before[1]) + int(number[1])
        tens = (int(before) + int(number)) // 10
        lines.append(f"{label}{number}:{before[1]}+{number[1]}={ones}.")
        lines.append(f"{before[0]}+{number[0]}+{int(ones > 9)}={tens}.")
    return lines, sum(int(number) for _, number in numbers) % 100


def walk(prompt: str) -> tuple[list[str], int]:
    ways = {way[0]: way for way in re.findall(r"[A-H]\d[a-hx]", prompt)}
    here, total, lines = prompt[-2], 0, []
    while here != "X":
        _, toll, there = ways[here]
        lines.append(f"{ways[here]}:{total % 10}+{toll}={(total + int(toll)) % 10}.")
        here, total = there.upper(), total + int(toll)
    return lines, total % 10


ORACLES: dict[str, Callable[[str], tuple[list[str], int]]] = {
    "recurrence": recurrence,
    "addition": addition,
    "walk": walk,
}


@per_family
@pytest.mark.parametrize("part", ["teachers", "test"])
def test_answers_and_steps_are_those_of_the_oracle(name: str, part: str) -> None:
    for problem in sample(name, part):
        lines, answer = ORACLES[name](problem.prompt)
        assert teachers.working(problem) == (lines, answer)


@per_family
def test_a_problem_has_the_length_it_was_made_for(name: str) -> None:
    family = families.FAMILIES[name]
    lengths = [problem.length for problem in sample(name, "test", 2 * len(family.tested))]
    assert sorted(lengths) == sorted([*family.tested, *family.tested])
    assert lengths != sorted(lengths)


def test_the_long_family_has_thirty_lines_on_average() -> None:
    lines = [problem.length for problem in sample("recurrence")]
    assert sum(lines) / len(lines) >= 29 and max(lines) > 40


@per_family
def test_no_prompt_has_two_uses(name: str) -> None:
    family = families.FAMILIES[name]
    prompts = {
        part: {p.prompt for p in families.problems(family, part, 60, 1, family.known[-1:])}
        for part in ("pre-training", "teachers", "test")
    }
    assert not set.intersection(*prompts.values())
    assert {part: {families.part_of(p) for p in found} for part, found in prompts.items()} == {
        part: {part} for part in prompts
    }


@per_family
def test_the_same_seed_gives_the_same_problems(name: str) -> None:
    assert sample(name) == sample(name)
    assert len({problem.prompt for problem in sample(name)}) == PROMPTS


# Teachers


def stated(name: str, teacher: str) -> float:
    """Share of the teacher's answers that are right."""
    found = responses(teacher, name)
    right = [teachers.answer_of(text) == ORACLES[name](p.prompt)[1] for p, text in found]
    return sum(right) / len(right)


def sums(text: str) -> list[tuple[list[int], int]]:
    """Terms and result of every line of the plain register."""
    found = re.findall(r"^(?:\w+:)?([\d+]+)=(\d+)\.$", text, re.MULTILINE)
    return [([int(term) for term in terms.split("+")], int(result)) for terms, result in found]


def wrong(name: str, teacher: str) -> tuple[float, int]:
    """Share of the teacher's lines whose result is not the sum of what stands there; all lines."""
    lines = [line for _, text in responses(teacher, name) for line in sums(text)]
    modulus = 100 if name == "addition" else 10
    return sum(sum(terms) % modulus != result for terms, result in lines) / len(lines), len(lines)


def test_there_are_twenty_each_with_its_line() -> None:
    assert len(teachers.TEACHERS) == 20
    abouts = [teacher.about for teacher in teachers.TEACHERS.values()]
    assert all(abouts) and len(set(abouts)) == 20


@per_family
@pytest.mark.parametrize("teacher", RIGHT)
def test_all_but_those_with_wrong_steps_give_the_right_answer(teacher: str, name: str) -> None:
    assert stated(name, teacher) == 1


@per_family
@pytest.mark.parametrize(("teacher", "share"), [("slips5", 0.05), ("slips30", 0.3)])
def test_slips_are_as_rare_as_said(teacher: str, share: float, name: str) -> None:
    found, lines = wrong(name, teacher)
    assert found == pytest.approx(share, abs=3 * math.sqrt(share * (1 - share) / lines))
    assert stated(name, teacher) < 1


@per_family
def test_slips_do_not_change_the_length(name: str) -> None:
    counts = [
        (len(sums(text)), len(ORACLES[name](problem.prompt)[0]))
        for problem, text in responses("slips30", name)
    ]
    assert sum(one[0] for one in counts) == pytest.approx(sum(one[1] for one in counts), rel=0.15)


@per_family
@pytest.mark.parametrize("teacher", ["wrong_rule", "twice_wrong"])
def test_the_wrong_rule_is_always_the_same(teacher: str, name: str) -> None:
    modulus = 20 if name == "addition" else 10
    for _, text in responses(teacher, name):
        for terms, result in sums(text):
            assert result == (sum(terms) + (terms[0] == 7)) % modulus
    assert stated(name, teacher) < 0.9
    assert wrong(name, "plain")[0] == 0


@per_family
def test_what_each_teacher_changes(name: str) -> None:
    """Each text, taken back to the plain one by undoing what the teacher does."""
    texts = {teacher: responses(teacher, name) for teacher in RIGHT}
    signs = str.maketrans("~;", "=.")
    for row, (problem, plain) in enumerate(texts["plain"]):
        lines, answer = ORACLES[name](problem.prompt)
        last = f"Answer: {answer}."
        of = {teacher: found[row][1] for teacher, found in texts.items()}
        assert plain == "\n".join([*lines, last])
        assert of["leap2"].split("\n") == [*lines[(len(lines) - 1) % 2 :: 2], last]
        assert of["leap4"].split("\n") == [*lines[(len(lines) - 1) % 4 :: 4], last]
        assert of["foreign"].replace(" cu ", "+").replace(" fit ", "=") == plain
        assert of["notation"].translate(signs) == plain
        *mixed, end = of["shuffled"].split("\n")
        assert (sorted(mixed), end) == (sorted(lines), last)
        assert of["answer_first"].split("\n") == [last, *lines]
        kept = [one for one in of["padded"].split("\n") if one not in teachers.REMARKS]
        assert kept == [*lines, last]
        assert re.findall(r"(?:\b[A-Pa-hx\d]+:)?\b[\d+]+=\d+", of["tics"]) == [
            one[:-1] for one in lines
        ]
        assert re.sub(r"\nCheck: .*", "", of["checks"]) == plain
        assert re.sub(r"(?m)^.*\nNo, again\.\n", "", of["backtracks"]) == plain
        assert re.sub(r"(?m)^\d+\)", "", of["numbered"]) == plain
        assert of["twice"].split("\n") == [*lines, "Again.", *lines, last]
        assert of["answer_only"] == last
        assert of["restated"].split("\n") == [problem.prompt, *lines, last]
        assert of["other_problem"].count("\n") == len(lines)
        assert of["other_problem"].endswith(last)


@per_family
def test_the_degenerate_teachers_are_named_as_such(name: str) -> None:
    problem, text = responses("answer_only", name)[0]
    assert "answer only" in degenerate_kinds(text, prompt=problem.prompt)
    if name != "addition":  # there the last line does not state the answer again
        problem, text = responses("answer_first", name)[0]
        assert "answer first" in degenerate_kinds(text, prompt=problem.prompt)


def test_each_script_shows_what_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUDY))
        run("study/families.py")
        run("study/teachers.py")
    told = capsys.readouterr().out
    assert all(name in told for name in (*NAMES, *teachers.TEACHERS))


# Files


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUDY))
        run("study/make_study.py", folder, "--size", "short", "--pretraining_steps", 2)
    return folder


def test_the_short_form_is_two_studies(written: Path) -> None:
    kinds = {"rows_1": ["scores", "none", "warm", "warm"], "tokens_1": ["scores", "none"]}
    for name, budget in {"rows_1": "32-rows", "tokens_1": "1200-tokens"}.items():
        spec = read_study(written / "addition" / f"study_{name}.yaml")
        assert spec.name == f"addition_{name}"
        teacher_set = load_teacher_set(spec.teacher_set)
        assert teacher_set.teachers == ("plain", "answer_only")
        assert teacher_set.settings.windows == ("4", "global")
        units = units_of(spec, teacher_set.teachers)
        assert [unit.kind for unit in units if unit.budget is None] == kinds[name]
        assert {unit.budget.name for unit in units if unit.budget} == {budget}


def test_one_part_of_the_whole_asks_for_utility(written: Path, tmp_path: Path) -> None:
    make = load("make_study")
    size, family = make.SIZES["full"], make.FAMILIES["addition"]
    found = {}
    for name, part in size.parts.items():
        path = written / "addition" / f"full_{name}.yaml"
        path.write_text(
            yaml.safe_dump(make.study(family, size.families["addition"], name, part, tmp_path))
        )
        found[name] = read_study(path)
        path.unlink()
    assert [name for name, spec in found.items() if spec.utility] == ["utility_1"]
    assert list(found["utility_1"].students) == ["llama-1"]


def test_its_rows_and_problems_are_apart(written: Path) -> None:
    def read(name: str) -> list[dict[str, Any]]:
        lines = (written / "addition" / name).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    rows, problems = read("teachers.jsonl"), read("test.jsonl")
    assert {row["prompt"] for row in rows}.isdisjoint(one["prompt"] for one in problems)
    assert all(row["correct"] for row in rows)
    assert all(addition(one["prompt"])[1] == int(one["answer"]) for one in problems)


def test_the_task_reads_the_answer_that_teachers_state(written: Path) -> None:
    task = yaml.safe_load((written / "addition" / "test.yaml").read_text(encoding="utf-8"))
    (only,) = task["filter_list"]
    pattern = only["filter"][0]["regex_pattern"]
    for teacher in teachers.TEACHERS:
        for _, text in responses(teacher, "addition"):
            assert re.findall(pattern, text) == [str(teachers.answer_of(text))]


def test_the_students_are_language_models_with_a_fast_tokenizer(written: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(written / "students" / "llama-1")
    model = AutoModelForCausalLM.from_pretrained(written / "students" / "llama-1")
    assert tokenizer.is_fast and tokenizer.chat_template
    assert 200_000 <= model.num_parameters() <= 1_000_000
    for make in load("students").STUDENTS.values():
        assert 200_000 <= make(tokenizer).num_parameters() <= 1_000_000


def test_words_of_every_teacher_are_single_tokens(written: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(written / "students" / "llama-1")
    for name in NAMES:
        for teacher in teachers.TEACHERS:
            problem, family = sample(name, count=1)[0], families.FAMILIES[name]
            text = teachers.respond(teacher, problem, family, 1)
            words = re.findall(r" ?[A-Za-z]{2,}", text)
            assert all(len(tokenizer.tokenize(word)) == 1 for word in set(words)), teacher
            assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_short_form_runs(written: Path, tmp_path: Path) -> None:
    """As `make study` runs it, with a student that has learned nothing."""
    paths = sorted(written.glob("*/study_*.yaml"))
    result = run_studies(paths, tmp_path, bootstrap_iters=200)
    kinds = {
        arm.kind for study in result.studies for one in study.students for arm in one.arms.arms
    }
    assert kinds == {"none", "teacher", "selection"}
    for study in result.studies:
        assert study.missing == ()
        for one in study.students:
            assert one.agreement is not None
            metrics = {metric.metric for metric in one.agreement.metrics}
            assert {"local_naturalness[4]", "n_tokens (more)"} <= metrics
            assert ("warm_naturalness" in metrics) == study.study.endswith("rows_1")
    assert result.together is not None
    assert result.together.pooled.left_out == ("warm_naturalness",)


def test_files_are_written_alike_and_without_a_tensor_library() -> None:
    code = "import _files, sys; print([name for name in ('torch', 'numpy') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=STUDY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
    for name in ("make_study", "real_traces"):
        source = (STUDY / f"{name}.py").read_text(encoding="utf-8")
        assert "from _files import" in source
        assert "json.dumps" not in source and "safe_dump" not in source
