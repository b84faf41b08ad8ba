"""An SFT data set as a pool: TRL's `messages`, or `prompt` and `completion`, with teachers.

Knows nothing of trainers and students.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from datasets import Dataset, IterableDataset

from lnat_plugins.config import DataSpec
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.selection import Pool, PoolRow
from lnat_plugins.teacher_set.gather import join
from lnat_plugins.teacher_set.layouts import candidates
from lnat_plugins.teacher_set.loaders import Row

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
) -> Pool:
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
        found += candidates(Row(values, where), spec, None, dropped)
    place = {id(one.response): number for number, one in enumerate(found)}
    rows = [
        PoolRow(place[id(response)], prompt.prompt_id, prompt.messages, response)
        for prompt in join(found)
        for response in prompt.responses
    ]
    return Pool(tuple(sorted(rows, key=lambda row: row.index)), plain)


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
