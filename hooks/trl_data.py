"""A teacher set as an SFT data set: one row a response, with what choosing needs beside it.

Rows chosen from an SFT data set, for any trainer: the data set in, the rows to train on out.

An SFT data set as a pool: TRL's `messages`, or `prompt` and `completion`, with teachers.

Knows nothing of trainers and students.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from datasets import Dataset, IterableDataset

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.plugins.configured import read_block
from lnat_plugins.scoring.student import LocalStudent
from lnat_plugins.selection import Selection
from lnat_plugins.teacher_set import Candidate, Candidates, TeacherSet
from lnat_plugins.teacher_set.config import DataSpec
from lnat_plugins.teacher_set.join import join
from lnat_plugins.teacher_set.layouts import parse_row
from lnat_plugins.teacher_set.loaders import Row


def sft_rows(teacher_set: TeacherSet, *, plain: bool) -> Dataset:
    """`prompt` and `completion`, `teacher`, `prompt_id`, `sample`, `correct` and `steps`.

    Args:
        teacher_set: the rows.
        plain: for a student without a chat template: the prompt as text, followed by the set's
            `target_delimiter`. Else conversations.
    """
    rows: list[dict[str, Any]] = []
    numbered = all(isinstance(r.sample, int) for p in teacher_set.prompts for r in p.responses)
    for prompt in teacher_set.prompts:
        turns = [dict(turn) for turn in prompt.messages]
        for own in prompt.responses:
            answer = [{"role": "assistant", "content": own.text}]
            rows.append(
                {
                    "prompt": prompt.text + teacher_set.settings.target_delimiter
                    if plain
                    else turns,
                    "completion": own.text if plain else answer,
                    "teacher": own.teacher,
                    "prompt_id": prompt.prompt_id,
                    "sample": own.sample if numbered else str(own.sample),
                    "correct": own.correct,
                    "steps": None if own.steps is None else list(own.steps),
                }
            )
    return Dataset.from_list(rows)


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


FIELDS: Final = ("teacher", "prompt_id", "sample", "correct", "steps")
"""What `columns` may name; the texts stand where TRL looks for them."""

_TWO_STAGES: Final = "choose first with `lnat select`, and train on what it wrote with `trl sft`"
_VISION: Final = ("image", "images", "pixel_values")
_SFT_FORMS: Final = ({"messages"}, {"prompt", "completion"})


def pool_of(
    dataset: Any,
    columns: Mapping[str, str | None],
    *,
    name: str = "train_dataset",
    tokenized: bool = False,
    eos: str | None = None,
) -> Candidates:
    """The data set's rows as candidates, checked; row i of the data is row i of the pool.

    Args:
        dataset: a `datasets.Dataset`.
        columns: field -> column, for `FIELDS`.
        name: how messages call it.
        tokenized: whether TRL has prepared it already, and its texts still stand beside the ids.
        eos: what TRL has put behind plain completions then.

    Raises:
        ConfigError: a kind of data that rows cannot be chosen from here; names the way that works.
        DataError: no teacher, no text, two responses of one teacher and sample to one prompt.
    """
    refuse_kind(dataset, name, tokenized=tokenized)
    dataset = dataset.with_format(None)
    unknown = set(columns) - set(FIELDS)
    if unknown:
        raise ConfigError(
            "unknown key in `columns`",
            where=name,
            found=sorted(unknown),
            remedy=f"known: {', '.join(FIELDS)}; texts stand in `messages`, or in `prompt` and "
            "`completion`",
        )
    form = "messages" if "messages" in dataset.column_names else "prompt_completion"
    _require_columns(dataset, columns, name)
    spec = DataSpec(name, name, Path(), name, layout=form, columns=columns)
    plain = form == "prompt_completion" and isinstance(dataset[0]["prompt"], str)
    dropped: Counter[str] = Counter()
    found = []
    for number, values in enumerate(dataset.select_columns(_kept(dataset))):
        where = f"{name}[{number}]"
        if form == "prompt_completion":
            values = _one_kind(values, plain, where, eos)
        found += parse_row(Row(values, where), spec, None, dropped)
    place = {id(one.response): number for number, one in enumerate(found)}
    rows = [
        Candidate(place[id(response)], prompt.prompt_id, prompt.messages, response)
        for prompt in join(found)
        for response in prompt.responses
    ]
    return Candidates(tuple(sorted(rows, key=lambda row: row.index)), plain)


def refuse_kind(dataset: Any, name: str, *, tokenized: bool = False) -> None:
    """Refuse what rows cannot be chosen from, before anything is loaded."""
    if isinstance(dataset, IterableDataset):
        raise ConfigError(
            "a streaming data set cannot be chosen from",
            where=name,
            found="IterableDataset",
            remedy="load it without streaming, or score its files as a teacher set with lm_eval, "
            "then `lnat select` and `trl sft`",
        )
    if not isinstance(dataset, Dataset):
        raise ConfigError(
            "this is not a datasets.Dataset",
            where=name,
            found=type(dataset).__name__,
            remedy="make one: Dataset.from_list(rows)",
        )
    columns = set(dataset.column_names)
    if not len(dataset):
        raise DataError("the data set has no row", where=name)
    if found := sorted(columns & set(_VISION)):
        raise _refusal("rows with images cannot be scored", name, found)
    if "input_ids" in columns and not tokenized:
        raise _refusal("the rows are tokenised already, so there are no steps to see", name)
    if "conversations" in columns:
        raise DataError(
            "from/value conversations are not read",
            where=name,
            found="conversations",
            remedy="rename the column to `messages` and its keys to `role` and `content`",
        )
    forms = [sorted(form) for form in _SFT_FORMS if form <= columns]
    if len(forms) == 1 and ("prompt" not in columns or "completion" in columns):
        return
    raise DataError(
        "the rows must have `messages`, or `prompt` and `completion`, and not both",
        where=name,
        found=", ".join(dataset.column_names),
        remedy="a trace in one `text` column does not say where the response begins: split it",
    )


def _refusal(what: str, name: str, found: object = "input_ids") -> ConfigError:
    return ConfigError(what, where=name, found=found, remedy=_TWO_STAGES)


def _require_columns(dataset: Dataset, columns: Mapping[str, str | None], name: str) -> None:
    if columns.get("teacher", "teacher") is None:
        raise ConfigError(
            "candidates need a column that says who wrote a response",
            where=f"{name}: columns: teacher",
            found=None,
            remedy="name it",
        )
    named = {"teacher": "teacher"} | {field: column for field, column in columns.items() if column}
    for field, column in named.items():
        if column not in dataset.column_names:
            what = " that says who wrote a response" if field == "teacher" else ""
            raise DataError(
                f"the candidates have no column {column!r}{what}",
                where=name,
                found=", ".join(dataset.column_names),
                remedy=f"add one, or name it in the selection: `columns: {{{field}: ...}}`",
            )


def _kept(dataset: Dataset) -> list[str]:
    """Columns worth reading: token ids are long and say nothing here."""
    return [name for name in dataset.column_names if name not in ("input_ids", "labels")]


def _one_kind(
    values: Mapping[str, Any], plain: bool, where: str, eos: str | None
) -> Mapping[str, Any]:
    for name in ("prompt", "completion"):
        if isinstance(values[name], str) != plain:
            raise DataError(
                "plain text and conversations are mixed",
                where=f"{where}, column {name!r}",
                found=values[name],
                remedy="write all prompts and completions in one way",
            )
    if plain and eos and values["completion"] != eos:
        return {**values, "completion": values["completion"].removesuffix(eos)}
    return values
