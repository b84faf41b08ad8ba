"""Scores in a program or a notebook: a teacher set, a model, and no host.

The same core as under lm-eval and in a trainer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lnat_plugins.config import Settings
from lnat_plugins.errors import StudentError
from lnat_plugins.in_process import LocalStudent
from lnat_plugins.metrics.asked import Asked, ask_metrics
from lnat_plugins.plugins import load_plugins
from lnat_plugins.scores import Scores
from lnat_plugins.selection import Pool
from lnat_plugins.steps import StepSpec, parse_steps
from lnat_plugins.teacher_set import TeacherSet
from lnat_plugins.windows import Window, parse_windows


class _Scoring(NamedTuple):
    settings: Settings
    steps: StepSpec
    windows: tuple[Window, ...]
    asked: Asked


def score(
    model: Any,
    tokenizer: Any,
    teacher_set: TeacherSet,
    *,
    windows: Sequence[str | int] | None = None,
    steps: str | None = None,
    metrics: str | Sequence[str] | None = None,
    apply_chat_template: bool | None = None,
    plugins: Sequence[str | object] = (),
) -> Scores:
    """Score every response of a teacher set with a model in this process.

    Args:
        model: a transformers causal language model; left as it was found.
        tokenizer: its fast tokenizer.
        teacher_set: from `load_teacher_set`.
        windows, steps, metrics: by default the teacher set's own; `metrics="all"` gathers what
            every metric needs.
        apply_chat_template: whether prompts are rendered with the tokenizer's chat template, as
            lm-eval's flag of that name; by default wherever there is one. Else they are plain
            text, followed by the set's `target_delimiter`.
        plugins: modules, files and objects, as in a `selection:` block.

    Raises:
        ConfigError, DataError, StudentError: one line that says what to change.
    """
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if apply_chat_template and not has_template:
        raise StudentError(
            "the tokenizer has no chat template to apply",
            remedy="set `tokenizer.chat_template`, or leave `apply_chat_template` out",
        )
    plain = not has_template if apply_chat_template is None else not apply_chat_template
    named = [one for one in plugins if isinstance(one, str)]
    loaded = load_plugins(named, objects=[one for one in plugins if not isinstance(one, str)])
    settings = Settings(
        steps=steps or teacher_set.settings.steps,
        windows=tuple(w.name for w in parse_windows(windows or teacher_set.settings.windows)),
        target_delimiter=teacher_set.settings.target_delimiter,
        metrics=tuple([metrics] if isinstance(metrics, str) else metrics or ())
        or teacher_set.settings.metrics,
    )
    known = loaded.registry.metrics
    scoring = _Scoring(
        settings,
        parse_steps(settings.steps, "steps", loaded.registry.splitters),
        parse_windows(settings.windows),
        ask_metrics(settings.metrics_asked, settings.windows, known, "metrics"),
    )
    pool = Pool.of_prompts(teacher_set.prompts, plain=plain, delimiter=settings.target_delimiter)
    student = LocalStudent(model, tokenizer, scoring, plain=plain, training=False)
    records = tuple(student.score(pool.rows))
    return Scores(
        pool, records, settings.windows, student.name, teacher_set.name, loaded, tokenizer
    )


__all__ = ["score"]
