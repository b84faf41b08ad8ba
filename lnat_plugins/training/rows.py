"""Rows chosen from an SFT data set, for any trainer: the data set in, the rows to train on out."""

from __future__ import annotations

from typing import Any

from datasets import Dataset

from lnat_plugins.choosing import read_block
from lnat_plugins.errors import ConfigError
from lnat_plugins.in_process import LocalStudent
from lnat_plugins.selection import Selection
from lnat_plugins.training.candidates import pool_of

SCORE = "lnat_score"
WEIGHT = "lnat_weight"


def select_dataset(dataset: Dataset, model: Any, tokenizer: Any, **selection: Any) -> Dataset:
    """The rows of `dataset` that the student should train on, in their order.

    For trainers that bring no hook of their own: call it before the trainer is built.

    Args:
        dataset: TRL's `messages`, or `prompt` and `completion`, with a column `teacher`.
        model: the student, before training; not prepared for distributed training.
        tokenizer: its fast tokenizer, with the chat template that training will use.
        **selection: the keys of a `selection:` block: `strategy`, `windows`, `require_correct` …

    Returns:
        The chosen rows with all their columns, the column `lnat_score` and, where the strategy
        weighs rows, `lnat_weight`.

    Raises:
        ConfigError, DataError, StudentError: one line that says what to change.
    """
    return chosen_rows(dataset, select_rows(dataset, model, tokenizer, **selection))


def select_rows(dataset: Dataset, model: Any, tokenizer: Any, **selection: Any) -> Selection:
    """As `select_dataset`, but what was chosen and why, by the rows' numbers."""
    chooser = read_block(selection)
    if chooser.spec.teacher_set is not None:
        raise ConfigError(
            "`teacher_set` and a data set are both given",
            where=chooser.spec.source,
            remedy="leave one of them out",
        )
    pool = pool_of(dataset, chooser.spec.columns, name="dataset")
    student = LocalStudent(model, tokenizer, chooser.spec, plain=pool.plain)
    return chooser.choose(pool, student)


def chosen_rows(dataset: Dataset, selection: Selection) -> Dataset:
    """The chosen rows, with their scores and, if they differ, their weights as columns."""
    rows = dataset.select(selection.indices)
    columns = {SCORE: [_or_none(selection.scores[i]) for i in selection.indices]}
    if selection.weighted:
        columns[WEIGHT] = list(selection.weights)
    for name, values in columns.items():
        if name in rows.column_names:
            rows = rows.remove_columns(name)
        rows = rows.add_column(name, values)
    return rows


def _or_none(score: float) -> float | None:
    return None if score != score else score
