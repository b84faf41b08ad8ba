"""The Python API: load a teacher set, score it, read scores that were written.

What can be done with scores is in `lnat_plugins.scores`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lnat_plugins.budget.choice import run_of
from lnat_plugins.budget.run import Row, run_to_end
from lnat_plugins.engine.cost import SHARE, Cost, cost_of
from lnat_plugins.errors import ConfigError, did_you_mean, visible
from lnat_plugins.plugins import Plugins, init_with_plugins, load_plugins, load_with_plugins
from lnat_plugins.plugins.checked import check_teacher_set
from lnat_plugins.plugins.configured import plan_of
from lnat_plugins.scores import Scores
from lnat_plugins.scoring.chat import reads_plain
from lnat_plugins.scoring.record import ScoredResponse, StepSums
from lnat_plugins.scoring.samples import read_scored_set, read_scored_sets, scored_set
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set import Candidates, TeacherSet
from lnat_plugins.teacher_set.config import Sensitivity, Settings
from lnat_plugins.teacher_set.detect.create import NewTeacherSet

if TYPE_CHECKING:
    from lnat_plugins.scoring.student import LocalStudent

__all__ = [
    "check_teacher_set", "estimate_cost", "load_teacher_set", "read_all_scores", "read_scores",
    "score",
]  # fmt: skip

_log = logging.getLogger(__name__)


def load_teacher_set(source: str | Path | Mapping[str, Any], *, strict: bool = False) -> TeacherSet:
    """Read a teacher set from its YAML, or from a dictionary of the same keys.

    Data paths, and files under `naturalness: plugins`, are relative to the YAML's folder; in a
    dictionary, to the working directory. Rows that cannot be used are left out and counted in
    `unusable`; `strict` makes the first one an error.

    Raises:
        ConfigError: the definition, or a plugin that it names.
        DataError: the data.
    """
    return load_with_plugins(source, strict=strict)


def init_teacher_set(
    *data: str | Path, output_path: str | Path | None = None, overwrite: bool = False,
    **options: Any,
) -> NewTeacherSet:  # fmt: skip
    """Recognise the layout of data and write a teacher set's YAML; see `init_with_plugins`."""
    return init_with_plugins(*data, output_path=output_path, overwrite=overwrite, **options)


def score(
    model: Any,
    tokenizer: Any,
    teacher_set: TeacherSet,
    *,
    windows: Sequence[str | int] | None = None,
    steps: str | None = None,
    metrics: str | Sequence[str] | None = None,
    markers: Literal["skip", "keep"] | None = None,
    tokens: bool | None = None,
    sensitivity: Sensitivity | None = None,
    budget: Mapping[str, Any] | None = None,
    prefix: int | str | None = None,
    apply_chat_template: bool | None = None,
    plugins: Plugins | Sequence[str | object] = (),
) -> Scores:
    """Score every response of a teacher set with a model in this process.

    Args:
        model: a transformers causal language model; left as it was found. Or a `vllm.LLM`, or
            an `SglangServer`.
        tokenizer: its fast tokenizer; with a `vllm.LLM`, None for its own.
        teacher_set: from `load_teacher_set`.
        windows, steps, metrics, markers, tokens, sensitivity: by default the teacher set's own.
        metrics: "all" gathers what every metric needs.
        tokens: whether the numbers of every token are kept, for `Scores.tokens`.
        sensitivity: "basic" = windows below the widest are recorded too, on a sample of 20 prompts
            if that is not cheap; "full" = the sample is scored in further ways, to see whether the
            order changes with them; "none" = neither.
        budget: the keys of `naturalness: budget:`, `{}` for its defaults; only as much is read as
            settles which teacher is best, and `Scores.race()` says it; or, with `goal: choice`,
            which response of each prompt, for `Scores.select("best")`. Nothing else can be done
            with the scores. By default the teacher set's own.
        prefix: only the beginning of each response is scored: 512 (tokens) or "8 steps". By default
            the teacher set's own.
        apply_chat_template: as lm-eval's flag; by default wherever the tokenizer has a template.
            Without it prompts are plain text, followed by the set's `target_delimiter`.
        plugins: modules, files and objects, as in a `selection:` block.

    Raises:
        ConfigError, DataError, StudentError: one line that says what to change.
    """
    from lnat_plugins.scoring.student import LocalStudent
    from lnat_plugins.scoring.vllm_backend import is_llm

    if not isinstance(teacher_set, TeacherSet):
        raise ConfigError(
            "this is not a teacher set", where="score: teacher_set", found=teacher_set,
            remedy="read it first: load_teacher_set(FILE)",
        )  # fmt: skip
    if tokenizer is None and is_llm(model):
        tokenizer = model.get_tokenizer()
    plain = reads_plain(tokenizer, apply_chat_template)
    loaded = _load(plugins)
    own = teacher_set.settings
    depth = teacher_set.sensitivity if sensitivity is None else sensitivity
    parsed = parse_windows(windows or own.windows)
    settings = replace(
        own,
        steps=steps or own.steps,
        windows=tuple(window.name for window in parsed),
        metrics=((metrics,) if isinstance(metrics, str) else tuple(metrics or ())) or own.metrics,
        markers=markers or own.markers,
    ).with_prefix(prefix, "score")
    if budget is not None:
        for name, value in (("metrics", metrics), ("tokens", tokens), ("sensitivity", sensitivity)):
            if value:
                raise ConfigError(
                    "a run with a budget gathers nothing for other metrics",
                    where=f"score: {name}", found=value, remedy="leave that out, or the budget",
                )  # fmt: skip
        settings = settings.with_budget(budget, "score")
    if settings.budget is not None:
        tokens, depth = False, "none"
    for name, value, choices in (
        ("markers", settings.markers, ("skip", "keep")),
        ("sensitivity", depth, ("none", "basic", "full")),
    ):
        if value not in choices:
            raise ConfigError(
                "no such choice", where=f"score: {name}", found=value,
                remedy=did_you_mean(str(value), choices),
            )  # fmt: skip
    plan = plan_of(
        settings, loaded.registry, tokens=teacher_set.tokens if tokens is None else tokens,
        sensitivity=depth,
    )  # fmt: skip
    candidates = Candidates.of_prompts(
        teacher_set.prompts, plain=plain, delimiter=own.target_delimiter
    )
    for note in teacher_set.all_notes:
        _log.warning("%s: %s", visible(teacher_set.name), visible(note))
    student = LocalStudent(model, tokenizer, plan, plain=plain, training=False)
    candidates = student.own(candidates)
    rows = tuple(map(ScoredResponse, candidates.rows, _records(student, candidates, settings)))
    prompts = tuple(prompt.prompt_id for prompt in teacher_set.prompts)
    scored = scored_set(rows, teacher_set.name, student.name, prompts)
    return Scores(replace(scored, unusable=teacher_set.unusable), loaded, tokenizer)


def _records(
    student: LocalStudent, candidates: Candidates, settings: Settings
) -> Sequence[StepSums]:
    rows = candidates.rows
    if settings.budget is None:
        return student.score(rows)
    unread = [
        Row(row.prompt_id, len(row.text), record, row.response.correct)
        for row, record in zip(rows, student.unread(rows), strict=True)
    ]
    run = run_of(settings.budget, unread)
    run_to_end(
        run,
        lambda wanted: student.score_parts(
            [rows[one.row] for one in wanted], [one.part for one in wanted]
        ),
    )
    return run.records()


def estimate_cost(
    student: Any,
    *,
    prompts: int,
    responses: int,
    prompt_tokens: float,
    response_tokens: float | Sequence[int],
    step_tokens: float = 20,
    windows: Sequence[str | int] = ("4", "global"),
    metrics: str | Sequence[str] = (),
    sensitivity: Sensitivity = "basic",
    gpu: str = "H100",
    gpus: int = 1,
    share: float = SHARE,
    plugins: Plugins | Sequence[str | object] = (),
) -> Cost:
    """Tokens, floating-point operations and GPU hours of scoring data known by its lengths.

    `lnat check SET.yaml --student S` counts the tokens of data that is at hand exactly.

    Args:
        student: a folder or a name on the Hub, of which the configuration is read, a configuration
            of transformers, or an `engine.cost.Shape`.
        prompts, responses: how many prompts, and how many responses to each.
        prompt_tokens, response_tokens, step_tokens: of the student's tokenizer, on average; of
            responses better a sample of their lengths, where they differ much.
        windows, metrics, sensitivity: as in a teacher set; metrics: "all" = what every one needs,
            () = the paper's two. What is read of a sample of 20 prompts alone is not counted.
        gpu, gpus: kind, see `engine.cost.PEAKS`, and number.
        share: of the GPUs' peak that is reached.

    Raises:
        ConfigError: numbers that make no sense, an unknown GPU, window or metric.
        StudentError: the configuration cannot be loaded.
    """
    from lnat_plugins.scoring.check_student import shape_of
    from lnat_plugins.scoring.cost import plan_lengths

    named = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    parsed = parse_windows(windows, "estimate_cost: windows")
    settings = Settings(windows=tuple(window.name for window in parsed), metrics=named)
    plan = plan_of(
        settings, _load(plugins).registry, where="estimate_cost: ", tokens=True, sensitivity="basic"
    )  # fmt: skip
    planned = plan_lengths(
        prompts=prompts, responses=responses, prompt_tokens=prompt_tokens,
        response_tokens=response_tokens, step_tokens=step_tokens, windows=parsed,
        statistics=plan.requested.statistics, sensitivity=sensitivity,
    )  # fmt: skip
    return cost_of(planned, shape_of(student), gpu=gpu, gpus=gpus, share=share)


def read_scores(
    *sources: str | Path,
    plugins: Plugins | Sequence[str | object] = (),
    tokenizer: str | None = None,
) -> Scores:
    """The scores that `lm_eval --log_samples` wrote, of one task and student.

    Args:
        sources: output folders or samples files.
        plugins: modules, files and objects, as in a `selection:` block, or loaded ones.
        tokenizer: folder or name of the one that training will use, for `max_length`; by default
            the student's.

    Raises:
        DataError: files that are missing, broken, or of several tasks or students.
    """
    return Scores(read_scored_set(sources), _load(plugins), tokenizer)


def read_all_scores(
    *sources: str | Path, plugins: Plugins | Sequence[str | object] = ()
) -> tuple[Scores, ...]:
    """As `read_scores`, for every task and student that the sources hold."""
    loaded = _load(plugins)
    return tuple(Scores(scored, loaded) for scored in read_scored_sets(sources))


def _load(plugins: Plugins | Sequence[str | object]) -> Plugins:
    if isinstance(plugins, Plugins):
        return plugins
    names = [plugin for plugin in plugins if isinstance(plugin, str)]
    return load_plugins(names, objects=[p for p in plugins if not isinstance(p, str)])
