"""What lm-eval's files hold of a teacher set: a document a prompt, and the settings of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from lnat_plugins.errors import LnatError
from lnat_plugins.scoring.chat import render, template_digest
from lnat_plugins.scoring.record import RequestedMetrics
from lnat_plugins.steps import StepSpec
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set import Prompt, TeacherSet
from lnat_plugins.teacher_set.config import Settings


def document_of(prompt: Prompt) -> dict[str, Any]:
    """A prompt with all its responses, as `doc` of a line of a samples file."""
    responses = []
    for response in prompt.responses:
        row: dict[str, Any] = {"teacher": response.teacher, "sample": response.sample}
        row |= {"response": response.text, "correct": response.correct} | dict(response.extra)
        if response.steps is not None:
            row["steps"] = list(response.steps)
        if response.turn is not None:
            row["turn"] = dict(response.turn)
        if response.turns is not None:
            row["conversation_turns"] = [dict(turn) for turn in response.turns]
        responses.append(row)
    return {
        "prompt_id": prompt.prompt_id,
        "prompt": prompt.text,
        "messages": [dict(turn) for turn in prompt.messages],
        "responses": responses,
    }


def target_of(doc: Mapping[str, Any]) -> str:
    """There is no right answer here: the teachers' names."""
    return ", ".join(str(row["teacher"]) for row in doc["responses"])


def about_set(teacher_set: TeacherSet) -> dict[str, Any]:
    """What a results file says of the set, under `metadata: naturalness`."""
    return teacher_set.settings.as_dict() | {
        "teachers": list(teacher_set.teachers),
        "prompts": len(teacher_set.prompts),
        "responses": teacher_set.n_responses,
        "dropped": dict(teacher_set.dropped),
        "unusable": {t: one.as_dict() for t, one in teacher_set.unusable.items()},
        "data_fingerprint": teacher_set.fingerprint,
    }


def filter_name(prefix: str) -> str:
    """Of lm-eval's filter step, which its table prints beside every figure."""
    return f"first {prefix}" if prefix else "none"


def template_arguments(tokenizer: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments of `--model_args` for the chat template that change what it writes:
    all or none."""
    asked = [{"role": "user", "content": "?"}]
    with suppress(LnatError):  # a template that needs more is refused row by row
        if render(tokenizer, asked, arguments=arguments) != render(tokenizer, asked):
            return dict(arguments)
    return {}


def run_settings(
    settings: Settings,
    steps: StepSpec,
    requested: RequestedMetrics,
    chat_template: Callable[..., str] | None,
    system_instruction: str | None,
    arguments: Mapping[str, Any],
) -> dict[str, Any]:
    """The set's settings and how the prompts are rendered in this run, as every record has them.

    Args:
        settings, steps, requested: the set's, names resolved.
        chat_template: the student's; None where prompts are read as plain text.
        system_instruction: that of the command line.
        arguments: see `template_arguments`.
    """
    values = settings.as_dict()
    return values | {
        "windows": [window.name for window in parse_windows(values["windows"])],
        "splitter": str(steps),
        "metrics": list(requested.names),
        "chat_template": template_digest(chat_template),
        "system_instruction": system_instruction,
        **({"chat_template_kwargs": dict(arguments)} if arguments else {}),
    }
