"""Write the shipped study: teachers' rows, tests, students and a STUDY.yaml for each family.

    OMP_NUM_THREADS=1 python examples/study/make_study.py study
    lnat study study/*/study_*.yaml --output_path study/results --jobs 2

    OMP_NUM_THREADS=1 python examples/study/make_study.py study --size short

The short form has one family, two teachers, one student that has hardly learned anything, and one
seed: it shows in minutes that everything runs, and nothing else. Students that are already in the
folder are kept. Files hold absolute paths, so a folder that is moved is written again.

    study/students/llama-1          a student, by architecture and seed of pre-training
    study/addition/teachers.jsonl   a row a response: prompt_id, prompt, response, teacher, correct
    study/addition/teachers.yaml    the teacher set
    study/addition/test.jsonl       prompt, answer, length
    study/addition/test.yaml        lm-eval's task: greedy, exact match of the stated answer
    study/addition/study_rows_1.yaml     what `lnat study` reads: equal rows, the first students
    study/addition/study_rows_2.yaml     the same for students of another pre-training
    study/addition/study_tokens_1.yaml   equal tokens, one student
    study/addition/study_utility_1.yaml  equal rows, one student, with the metric `utility`
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from _files import ON_CPU, TEACHER_SET, write_rows, write_yaml
from families import ANSWER, FAMILIES, Family, problems
from students import FOREIGN, STEPS, STUDENTS, write_student
from teachers import TEACHERS, answer_of, respond

SEED: Final = 20261126

SELECTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "local": {"strategy": "best", "metric": "local_naturalness", "window": 4},
    "global": {"strategy": "best", "metric": "global_naturalness"},
    "local_set": {"strategy": "best_set", "metric": "local_naturalness", "window": 4},
    "global_set": {"strategy": "best_set", "metric": "global_naturalness"},
    "best_drop2": {"strategy": "best", "metric": "aslec_drop2"},
    "best_rsr": {"strategy": "best", "metric": "rsr"},
    "best_lark": {"strategy": "best", "metric": "lark"},
    "best_ifd": {"strategy": "best", "metric": "ifd"},
    "random": {"strategy": "random"},
    "local_correct": {
        "strategy": "best", "metric": "local_naturalness", "window": 4, "require_correct": True,
    },
    "global_correct": {
        "strategy": "best", "metric": "global_naturalness", "require_correct": True,
    },
    "random_correct": {"strategy": "random", "require_correct": True},
    "shortest": {"strategy": "shortest"},
    "longest": {"strategy": "longest"},
}  # fmt: skip
"""Arms beside the teachers: a row of each prompt, by these rules."""


class Training(NamedTuple):
    """How much students are trained and tested, by family.

    Attributes:
        prompts: of the teacher set.
        rows: of the budget by rows; equal numbers of responses.
        tokens: of the budget by tokens; every teacher's rows have more in all.
        epochs: over the rows of a budget.
        room: tokens that a student may write in answer to a problem of the test.
        tested: problems of the test, every length equally often.
    """

    prompts: int
    rows: int
    tokens: int
    epochs: int
    room: int
    tested: int


class Part(NamedTuple):
    """A study of each family.

    Attributes:
        students: by architecture and seed of pre-training.
        seeds: of training.
        budget: "rows" or "tokens".
        selections: names.
        warm: of `warm_naturalness`; None = without.
        utility: whether `utility` is one of the metrics, with its default settings.
    """

    students: Sequence[str]
    seeds: int
    budget: str
    selections: Sequence[str]
    warm: Mapping[str, int] | None
    utility: bool = False


class Size(NamedTuple):
    """How large a study is.

    Attributes:
        families: name -> training.
        teachers: names.
        parts: name -> a study of each family.
        pretraining: steps of the students.
    """

    families: Mapping[str, Training]
    teachers: Sequence[str]
    parts: Mapping[str, Part]
    pretraining: int


_FEW: Final = ("local", "global", "random")
WARM: Final = {"rows": 48, "updates": 36}
SIZES: Final[Mapping[str, Size]] = {
    "full": Size(
        families={
            "recurrence": Training(600, 120, 17_000, 4, 600, tested=105),
            "addition": Training(400, 240, 16_500, 4, 400, tested=117),
            "walk": Training(400, 160, 17_000, 3, 250, tested=119),
        },
        teachers=tuple(TEACHERS),
        parts={
            "rows_1": Part([f"{name}-1" for name in STUDENTS], 3, "rows", tuple(SELECTIONS), WARM),
            "rows_2": Part([f"{name}-2" for name in STUDENTS], 2, "rows", _FEW, WARM),
            "tokens_1": Part(["llama-1"], 3, "tokens", (), None),
            "utility_1": Part(["llama-1"], 2, "rows", (), None, utility=True),
        },
        pretraining=STEPS,
    ),
    "short": Size(
        families={"addition": Training(32, 32, 1_200, 1, 120, tested=18)},
        teachers=("plain", "answer_only"),
        parts={
            "rows_1": Part(["llama-1"], 1, "rows", ("local", "random"), {"rows": 8, "updates": 2}),
            "tokens_1": Part(["llama-1"], 1, "tokens", (), None),
        },
        pretraining=100,
    ),
}
"""Name -> size."""


def teacher_rows(
    family: Family, teachers: Iterable[str], prompts: int, seed: int
) -> list[dict[str, Any]]:
    """A row a response, prompt by prompt."""
    rows = []
    for index, problem in enumerate(problems(family, "teachers", prompts, seed, family.taught)):
        _, answer = problem.work()
        for teacher in teachers:
            response = respond(teacher, problem, family, seed)
            rows.append(
                {
                    "prompt_id": f"{family.name}-{index:04d}",
                    "prompt": problem.prompt,
                    "response": response,
                    "teacher": teacher,
                    "correct": answer_of(response) == answer,
                }
            )
    return rows


def test_rows(family: Family, count: int, seed: int) -> list[dict[str, Any]]:
    """A row a problem, of mixed lengths in a drawn order."""
    return [
        {"prompt": problem.prompt, "answer": str(problem.work()[1]), "length": problem.length}
        for problem in problems(family, "test", count, seed, family.tested)
    ]


def teacher_set(family: Family) -> dict[str, Any]:
    """What `teachers.yaml` says, but for its class."""
    return {
        "task": f"study_{family.name}",
        "dataset_path": "teachers.jsonl",
        "naturalness": {"windows": [4, "global"], "metrics": ["all"], "sensitivity": "none"},
        "metadata": {
            "version": 1,
            "description": f"Family {family.name} of the shipped study, made-up teachers.",
        },
    }


def test_task(family: Family, folder: Path, room: int) -> dict[str, Any]:
    """What `test.yaml` says: the answer that is stated first must be the right one."""
    return {
        "task": f"study_{family.name}_test",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "test.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["<|im_end|>"], "do_sample": False, "max_gen_toks": room},
        "filter_list": [
            {
                "name": "answer",
                "filter": [
                    {"function": "regex", "regex_pattern": ANSWER.pattern},
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1},
    }


def study(
    family: Family, training: Training, name: str, part: Part, folder: Path
) -> dict[str, Any]:
    """What `study_NAME.yaml` says; `folder` is that of the students."""
    budget = training.rows if part.budget == "rows" else training.tokens
    return {
        "study": f"{family.name}_{name}",
        "teacher_set": "teachers.yaml",
        "students": {student: str(folder / student) for student in part.students},
        "seeds": part.seeds,
        "budget": {part.budget: budget},
        **({} if part.warm is None else {"warm": dict(part.warm)}),
        **({"utility": True} if part.utility else {}),
        "selections": {name: dict(SELECTIONS[name]) for name in part.selections},
        "sft": {
            "num_train_epochs": training.epochs,
            "per_device_train_batch_size": 4,
            "learning_rate": 2e-3,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 10,
            **ON_CPU,
        },
        "evaluation": {
            "tasks": ["test.yaml"],
            "metric": "exact_match",
            "batch_size": training.tested,
            "device": "cpu",
            "model_args": {"dtype": "float32", "max_length": 4096},
        },
    }


def write_family(folder: Path, family: Family, size: Size, students: Path) -> list[Path]:
    """The files of a family; those of its studies are returned."""
    training = size.families[family.name]
    rows = teacher_rows(family, size.teachers, training.prompts, SEED)
    write_rows(folder / "teachers.jsonl", rows)
    write_rows(folder / "test.jsonl", test_rows(family, training.tested, SEED))
    write_yaml(folder / "teachers.yaml", teacher_set(family), TEACHER_SET)
    write_yaml(folder / "test.yaml", test_task(family, folder, training.room))
    studies = []
    for name, part in size.parts.items():
        studies.append(folder / f"study_{name}.yaml")
        write_yaml(studies[-1], study(family, training, name, part, students))
    return studies


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the shipped study.")
    parser.add_argument("folder", type=Path, help="everything is written there")
    parser.add_argument("--size", default="full", choices=SIZES)
    parser.add_argument("--pretraining_steps", type=int, help="instead of the size's own")
    parser.add_argument("--foreign", type=float, default=FOREIGN, help="share of strange registers")
    args = parser.parse_args()

    folder, size = args.folder.expanduser().resolve(), SIZES[args.size]
    students = folder / "students"
    for student in dict.fromkeys(name for part in size.parts.values() for name in part.students):
        architecture, seed = student.rsplit("-", 1)
        steps = args.pretraining_steps or size.pretraining
        if not (students / student / "tokenizer.json").is_file():  # written last
            write_student(students / student, architecture, int(seed), steps, args.foreign)
    for name in size.families:
        for path in write_family(folder / name, FAMILIES[name], size, students):
            print(path)


if __name__ == "__main__":
    main()
