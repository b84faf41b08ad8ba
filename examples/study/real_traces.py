"""Write a study on real traces: students too small to solve the problems, judged by held-out loss.

    python examples/study/real_traces.py out/long --data gsm8k_long_cot.jsonl \\
        --students models/student-base models/student-qwq
    OMP_NUM_THREADS=1 lnat study out/long/study.yaml --jobs 2

Reads rows of `prompt_id, prompt, response, teacher`, each prompt answered once by each teacher, and
parts the prompts: students are trained on some, and measured on every teacher's texts of others.
`--reference FILE` (JSON lines of `prompt_id, response`) adds texts that no teacher wrote, such as
GSM8K's own solutions. A prompt is used only if all its texts have at most `--max_tokens` tokens
with the prompt, for every student; the others are counted, and nothing is cut off.

What the held-out loss shows: which rows make the student expect such texts. It is the mean
log-probability a token, given the prompt; higher is better. It says nothing about problems solved.
A teacher is rewarded for being like the other teachers, and on its own texts for being itself: the
table of arms by tasks shows both apart.

    out/long/teachers.jsonl, teachers.yaml   the teacher set, of the prompts for training
    out/long/held_out_QwQ.jsonl, .yaml       a task for each teacher's texts of the other prompts
    out/long/held_out_reference.jsonl, .yaml the same for the file given with `--reference`
    out/long/study.yaml                      what `lnat study` reads

Files hold absolute paths, so a folder that is moved is written again.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from _files import ON_CPU, TEACHER_SET, Row, read_rows, write_rows, write_yaml
from transformers import AutoTokenizer

SELECTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "local": {"strategy": "best", "metric": "local_naturalness"},
    "global": {"strategy": "best", "metric": "global_naturalness"},
    "random": {"strategy": "random"},
}
REFERENCE: Final = "reference"
SPARE: Final = 1.02
"""More than the budget, since templates may end a text in ways that training does not count."""
TEXT: Final = "text"
"""The one teacher of every held-out set, so that all tasks have a metric of the same name."""


def by_prompt(rows: Sequence[Row], reference: Sequence[Row] = ()) -> dict[str, dict[str, Row]]:
    """Prompt -> writer -> row, of the prompts that all teachers answered, each once.

    Args:
        reference: rows without a teacher; prompts without one are left out, if there are any.
    """
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        own = found.setdefault(row["prompt_id"], {})
        if row["teacher"] in (*own, REFERENCE):
            raise SystemExit(f"{row['prompt_id']} has a second row of {row['teacher']}")
        own[row["teacher"]] = row
    for row in reference:
        if row["prompt_id"] in found:
            prompt = next(iter(found[row["prompt_id"]].values()))["prompt"]
            found[row["prompt_id"]][REFERENCE] = {
                "prompt_id": row["prompt_id"], "prompt": prompt, "response": row["response"],
            }  # fmt: skip
    writers = {name for own in found.values() for name in own}
    return {prompt: own for prompt, own in found.items() if len(own) == len(writers)}


def sizes(
    prompts: Mapping[str, Mapping[str, Row]], students: Sequence[Path]
) -> dict[str, tuple[int, int]]:
    """Prompt -> tokens of its shortest and of its longest text, for any student.

    As they are trained on: with the prompt and the student's own template.
    """
    found: dict[str, list[int]] = {prompt: [] for prompt in prompts}
    for student in students:
        tokenizer = AutoTokenizer.from_pretrained(student)
        for prompt, own in prompts.items():
            for row in own.values():
                turns = [
                    {"role": "user", "content": row["prompt"]},
                    {"role": "assistant", "content": row["response"]},
                ]
                text = tokenizer.apply_chat_template(turns, tokenize=False)
                found[prompt].append(len(tokenizer(text, add_special_tokens=False)["input_ids"]))
    return {prompt: (min(counts), max(counts)) for prompt, counts in found.items()}


def part(shortest: Mapping[str, int], tested: int, budget: int) -> tuple[list[str], list[str]]:
    """Prompts to train on and to test on, drawn, in the order of the data.

    For training as many as fill the budget whichever rows are chosen of them.

    Args:
        shortest: prompt -> tokens of its shortest text.
        tested: prompts to test on.
        budget: tokens.
    """
    order = list(shortest)
    drawn = random.Random("real traces").sample(order, len(order))
    test, train, filled = drawn[:tested], [], 0
    for prompt in drawn[tested:]:
        if filled >= budget * SPARE:
            break
        train.append(prompt)
        filled += shortest[prompt]
    else:
        raise SystemExit(
            f"{len(order)} prompts fit: too few for {tested} to test on and {budget} tokens to "
            "train on; lower --test_prompts or --budget, or raise --max_tokens"
        )
    return [one for one in order if one in train], [one for one in order if one in test]


def file_name(writer: str) -> str:
    """A name for files and tasks."""
    return "held_out_" + re.sub(r"[^A-Za-z0-9.-]+", "_", writer)


def teacher_set(name: str, data: Path, naturalness: Mapping[str, Any]) -> dict[str, Any]:
    """What a teacher set's YAML says, but for its class."""
    return {"task": name, "dataset_path": str(data), "naturalness": dict(naturalness)}


def study(
    name: str, students: Sequence[Path], tasks: Sequence[str], args: argparse.Namespace
) -> dict[str, Any]:
    """What `study.yaml` says."""
    return {
        "study": name,
        "teacher_set": "teachers.yaml",
        "students": {student.name: str(student) for student in students},
        "seeds": args.seeds,
        "budget": {"tokens": args.budget},
        **({"warm": {"rows": args.warm, "updates": args.warm}} if args.warm else {}),
        "selections": {
            name: dict(block) | ({"window": args.window} if name == "local" else {})
            for name, block in SELECTIONS.items()
        },
        "sft": {
            "num_train_epochs": args.epochs,
            # One row at a time, so that nothing is padded.
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": args.rows_per_update,
            "learning_rate": args.learning_rate,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 2,
            **ON_CPU,
        },
        "evaluation": {
            "tasks": [f"{task}.yaml" for task in tasks],
            "metric": f"global_naturalness/{TEXT}",
            "device": "cpu",
            "model_args": {"dtype": "float32"},
        },
        "apply_chat_template": True,
    }


def write(folder: Path, args: argparse.Namespace) -> None:
    """All files of the study; prints what is used and what is left out."""
    students = [student.expanduser().resolve() for student in args.students]
    rows = read_rows(args.data, ("prompt_id", "prompt", "response", "teacher"))
    reference = read_rows(args.reference, ("prompt_id", "response")) if args.reference else []
    prompts = by_prompt(rows, reference)
    fitting = {
        prompt: shortest
        for prompt, (shortest, longest) in sizes(prompts, students).items()
        if longest <= args.max_tokens
    }
    train, test = part(fitting, args.test_prompts, args.budget)
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(
        folder / "teachers.jsonl",
        [row for prompt in train for writer, row in prompts[prompt].items() if writer != REFERENCE],
    )
    block: dict[str, Any] = {
        "windows": [args.window, "global"], "metrics": ["all"], "sensitivity": "none",
        "tokens": False,
    }  # fmt: skip
    teachers = teacher_set(f"{folder.name}_teachers", folder / "teachers.jsonl", block)
    write_yaml(folder / "teachers.yaml", teachers, TEACHER_SET)
    held_out = {
        "windows": ["global"], "metrics": ["global_naturalness"], "markers": "keep",
        "sensitivity": "none", "tokens": False, "min_teachers": 1,
    }  # fmt: skip
    tasks = []
    for writer in prompts[test[0]]:
        name = file_name(writer)
        texts = [{**prompts[prompt][writer], "teacher": TEXT} for prompt in test]
        write_rows(folder / f"{name}.jsonl", texts)
        task = teacher_set(name, folder / f"{name}.jsonl", held_out)
        write_yaml(folder / f"{name}.yaml", task, TEACHER_SET)
        tasks.append(name)
    write_yaml(folder / "study.yaml", study(folder.name, students, tasks, args))
    answered = len({row["prompt_id"] for row in rows})
    print(
        f"{answered} prompts: {answered - len(prompts)} lack a text, {len(prompts) - len(fitting)} "
        f"have one above {args.max_tokens} tokens; of {len(fitting)} are {len(train)} to train on "
        f"and {len(test)} to test on, {len(fitting) - len(train) - len(test)} are not used"
    )
    if not reference:
        print("no reference solutions: give --reference to measure the loss on them too")
    print(folder / "study.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a study on real traces.")
    parser.add_argument("folder", type=Path, help="everything is written there")
    parser.add_argument("--data", type=Path, required=True, help="rows of several teachers")
    parser.add_argument("--students", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--reference", type=Path, help="JSON lines of prompt_id and response")
    parser.add_argument("--max_tokens", type=int, default=2048, help="of a text with its prompt")
    parser.add_argument("--test_prompts", type=int, default=20)
    parser.add_argument("--budget", type=int, default=24_000, help="tokens to train on")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--learning_rate", type=float, default=5e-4)
    parser.add_argument("--rows_per_update", type=int, default=1, help="more for short texts")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--window", type=int, default=4)
    parser.add_argument("--warm", type=int, help="rows and updates of warm_naturalness")
    args = parser.parse_args()
    write(args.folder.expanduser().resolve(), args)


if __name__ == "__main__":
    main()
