"""A model evaluated by lm-eval in this process: one number a document."""

from __future__ import annotations

import contextlib
import functools
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lm_eval import evaluator, simple_evaluate
from lm_eval.tasks import TaskManager

from lnat_plugins.errors import ConfigError, LnatError, did_you_mean
from lnat_plugins.files import is_adapter


def evaluate_documents(
    model: str,
    tasks: tuple[str, ...],
    metric: str,
    *,
    filter_name: str | None = None,
    include_path: str | None = None,
    model_args: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, dict[str, float]]:
    """Task -> document -> the metric's value for it.

    Args:
        model: folder or hub id, for lm-eval's `hf`. A folder with a PEFT adapter alone, such as
            LoRA's, stands for the base model that it names, with the adapter merged into it.
        tasks: names or YAML files.
        metric: of the tasks; one number, or true and false, a document.
        filter_name: which of the tasks' filters; None = the first.
        include_path, model_args, options: as lm-eval takes them.

    Raises:
        ConfigError: lm-eval cannot run, no such metric or filter, or a figure that is no number.
    """
    model_args = dict(model_args or {})
    try:
        with _whole(model, model_args.get("dtype", "auto")) as folder, _without_notes():
            results = simple_evaluate(
                model="hf",
                model_args={**model_args, "pretrained": folder},
                tasks=[*tasks],
                task_manager=_task_manager(include_path, all(map(_is_file, tasks))),
                log_samples=True,
                bootstrap_iters=0,
                **options,
            )
    except LnatError:
        raise
    except (ValueError, KeyError, OSError, TypeError, AssertionError) as cause:
        first, *_ = str(cause).strip().splitlines() or [type(cause).__name__]
        raise ConfigError(
            f"lm-eval cannot evaluate: {first.rstrip('.')}", where=", ".join(tasks),
            remedy="try the same with lm_eval",
        ) from cause  # fmt: skip
    samples: Mapping[str, Any] = (results or {}).get("samples") or {}
    return {
        task: _figures(task, documents, metric, filter_name) for task, documents in samples.items()
    }


@contextlib.contextmanager
def _whole(model: str, dtype: str) -> Iterator[str]:
    """The model; of an adapter alone, a copy of the base model with it, for as long as needed.

    lm-eval's own `peft=` would cut the vocabulary to the tokenizer's, and so change every
    log-probability where the model has spare rows, as Qwen's have.
    """
    if not is_adapter(model):
        yield model
        return
    # These take seconds to load, and most studies train no adapter.
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory(dir=Path(model).parent, prefix=".merged-") as folder:
        merged = AutoPeftModelForCausalLM.from_pretrained(model, dtype=dtype).merge_and_unload()
        merged.save_pretrained(folder)
        del merged
        AutoTokenizer.from_pretrained(model).save_pretrained(folder)
        yield folder


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Keeps the harness from describing the machine and the repository beside the figures.

    It starts a dozen programs for that, which takes a second or more, and no one reads it here.
    """
    before = evaluator.get_git_commit_hash, evaluator.add_env_info
    evaluator.get_git_commit_hash = evaluator.add_env_info = lambda *_: None
    try:
        yield
    finally:
        evaluator.get_git_commit_hash, evaluator.add_env_info = before


def _is_file(task: str) -> bool:
    return task.endswith(".yaml")


@functools.cache
def _task_manager(include_path: str | None, files_only: bool) -> TaskManager:
    """Looking through lm-eval's own tasks takes seconds, so it is done where a name needs it."""
    return TaskManager(include_path=include_path, include_defaults=not files_only)


def _figures(
    task: str, documents: list[dict[str, Any]], metric: str, wanted: str | None
) -> dict[str, float]:
    filters = list(dict.fromkeys(document.get("filter", "none") for document in documents))
    chosen = wanted or filters[0]
    if chosen not in filters:
        raise ConfigError(
            "the task has no such filter", where=f"{task}: filter", found=chosen,
            remedy=did_you_mean(chosen, filters),
        )  # fmt: skip
    found = {}
    for document in documents:
        if document.get("filter", "none") != chosen:
            continue
        if metric not in document:
            known = document.get("metrics") or []
            raise ConfigError(
                "the task has no such metric a document", where=f"{task}: metric", found=metric,
                remedy=did_you_mean(metric, known),
            )  # fmt: skip
        value = document[metric]
        if not isinstance(value, int | float) or math.isinf(value):
            raise ConfigError(
                "the metric is not one number a document", where=f"{task}: {metric}", found=value,
                remedy="take another metric",
            )  # fmt: skip
        found[str(document["doc_id"])] = float(value)
    return found
