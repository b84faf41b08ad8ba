"""The check of a teacher set before it is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lnat_plugins.budget.choice import expected_of_choice
from lnat_plugins.budget.race import FIRST_LOOK
from lnat_plugins.budget.run import expected_tokens
from lnat_plugins.errors import StudentError
from lnat_plugins.files import read_yaml, student_folder
from lnat_plugins.metrics import ALL
from lnat_plugins.plugins.configured import load_with_plugins, plan_of, plugins_of
from lnat_plugins.plugins.task_class import check_own_class
from lnat_plugins.scoring.check import TeacherSetCheck
from lnat_plugins.steps.windows import GLOBAL
from lnat_plugins.teacher_set import TeacherSet
from lnat_plugins.teacher_set.catalog import check_task
from lnat_plugins.teacher_set.config import Budget, TaskSpec, parse_task


def check_teacher_set(
    source: str | Path | Mapping[str, Any],
    student: str | Path | None = None,
    *,
    apply_chat_template: bool = False,
    device: str | None = None,
    trial: bool = True,
    strict: bool = False,
) -> TeacherSetCheck:
    """Load a teacher set as a run would, and say what a student would read of it.

    Args:
        source: a YAML's path, or a dictionary of the same keys.
        student: folder, name on the Hub, or "bundled"; None = the data alone.
        apply_chat_template: as lm-eval's flag. Without it prompts are plain text.
        device: for the trial; by default CUDA where there is one.
        trial: whether the model is loaded and a few prompts are scored, to estimate the time.
        strict: a row that cannot be used is an error.

    Raises:
        ConfigError: the definition, or a plugin or a class that it names.
        DataError: the data, or a row that the chat template does not take.
        StudentError: the student cannot be loaded, or cannot give what a metric needs.
    """
    read: list[TaskSpec] = []

    def load(spec: TaskSpec) -> TeacherSet:
        read.append(spec)
        return load_with_plugins(spec, strict=strict)

    if isinstance(source, Mapping):
        name, teacher_set = "<dict>", load(parse_task(source))
    else:
        name, teacher_set = str(source), check_task(source, load)
        check_own_class(read_yaml(source), source)
    if student is None:
        return TeacherSetCheck(name, teacher_set)

    from lnat_plugins.scoring.check_student import check_student, open_student

    opened = open_student(student_folder(str(student)), device=device, model=trial)
    if apply_chat_template and not opened.tokenizer.chat_template:
        raise StudentError(
            "the tokenizer has no chat template to apply", where=opened.name,
            remedy="leave --apply_chat_template out",
        )  # fmt: skip
    (spec,) = read
    where = f"{spec.data.source}: naturalness: "
    settings, n_prompts = spec.settings, len(teacher_set.prompts)
    first = settings.windows[0]
    if settings.budget is not None:
        # What the same scores would cost without it.
        settings = replace(settings, windows=(first, GLOBAL), budget=None)
    planned = partial(
        plan_of, settings, plugins_of(spec).registry, where=where, tokens=spec.tokens,
        sensitivity=spec.sensitivity,
    )  # fmt: skip
    found = check_student(
        teacher_set, opened, planned(), planned(metrics=(ALL,)), plain=not apply_chat_template
    )
    if (
        first != GLOBAL
        and not settings.prefix
        and len(teacher_set.teachers) > 1
        and n_prompts > FIRST_LOOK
    ):
        exact = found.planned[f"window {first}"].tokens
        budget = spec.settings.budget or Budget()
        expected = (
            expected_of_choice(budget, int(first), exact, n_prompts)
            if budget.of_choice
            else expected_tokens(budget, exact, n_prompts)
        )
        found = replace(found, budgeted=expected)
    return TeacherSetCheck(name, teacher_set, found)
