"""Scores by a student that was trained in a study, from its folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from lnat_plugins.api import score
from lnat_plugins.errors import DataError
from lnat_plugins.metrics import GLOBAL
from lnat_plugins.scoring.scorer import READS_AT_MOST
from lnat_plugins.teacher_set import Response, TeacherSet

WRONG: Final = "known to be wrong"
TOO_LONG: Final = "longer than the student's context"


def rate(
    model: str | Path,
    teacher_set: TeacherSet,
    metric: str,
    window: str,
    *,
    prompts: Collection[str],
    wanted: Callable[[Response], bool],
    apply_chat_template: bool,
    device: str | None = None,
) -> Any:
    """A frame with a line a response, scored in float32; empty if none is wanted.

    Its column `reason` says why the metric is undefined; "" where it is not.

    Args:
        model: folder, or name on the hub.
        prompts: ids of those whose responses are scored.
        wanted: whether a response is.
        device: by default the accelerator, where there is one, as lm-eval's.
    """
    import pandas as pd
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    kept = tuple(
        replace(prompt, responses=own)
        for prompt in teacher_set.prompts
        if prompt.prompt_id in prompts and (own := tuple(filter(wanted, prompt.responses)))
    )
    if not kept:
        return pd.DataFrame()
    present = {response.teacher for prompt in kept for response in prompt.responses}
    teachers = tuple(name for name in teacher_set.teachers if name in present)
    student: Any = AutoModelForCausalLM.from_pretrained(model, dtype="float32")
    scores = score(
        student.to(device or ("cuda" if torch.cuda.is_available() else "cpu")),
        AutoTokenizer.from_pretrained(model),
        replace(teacher_set, prompts=kept, teachers=teachers, notes=()),
        windows=[window],
        metrics=metric,
        apply_chat_template=apply_chat_template,
        tokens=False,
        sensitivity="none",
    )
    ratings = scores.plugins.registry.metrics[metric].rate(scores.rows, window)
    return scores.to_pandas().assign(reason=ratings.reasons)


class HeldOut(NamedTuple):
    """What a student gives to held-out text.

    Attributes:
        means: prompt -> mean log-probability per token.
        left_out: reason -> responses that do not count.
    """

    means: dict[str, float]
    left_out: dict[str, int]


def mean_log_probs(
    model: str | Path,
    teacher_set: TeacherSet,
    teachers: Collection[str],
    *,
    prompts: Collection[str],
    where: str,
    apply_chat_template: bool,
    device: str | None = None,
) -> HeldOut:
    """Mean log-probability per token of each prompt's responses, every teacher weighing alike.

    Responses known to be wrong are left out, and those that do not fit the student's context; both
    are counted.

    Args:
        teachers: whose responses count.
        where: names the unit in an error; others as of `rate`.

    Raises:
        DataError: no response is left.
    """
    metric = "global_naturalness"
    left_out: Counter[str] = Counter()
    wrong = sum(
        one.teacher in teachers and one.correct is False
        for prompt in teacher_set.prompts
        if prompt.prompt_id in prompts
        for one in prompt.responses
    )
    if wrong:
        left_out[WRONG] = wrong
    rated = rate(
        model, teacher_set, metric, GLOBAL, prompts=prompts,
        wanted=lambda one: one.teacher in teachers and one.correct is not False,
        apply_chat_template=apply_chat_template, device=device,
    )  # fmt: skip
    if not len(rated):
        raise DataError(
            "no response to measure an update on", where=f"{where}: held-out prompts",
            remedy="raise `utility: held_out`; wrong responses do not count",
        )  # fmt: skip
    means = rated.groupby(["prompt_id", "teacher"], sort=False)[metric].mean()
    of_prompt = means.groupby("prompt_id", sort=False).mean().items()
    left_out.update(map(_in_short, filter(None, rated["reason"])))
    found = {prompt: value for prompt, value in of_prompt if not math.isnan(value)}
    return HeldOut(found, dict(left_out))


def _in_short(reason: str) -> str:
    """The reason without the numbers of one response."""
    return TOO_LONG if READS_AT_MOST in reason else reason
