"""Columns that TRL gives to the chat template with each row: `tools`, `chat_template_kwargs`.

TRL (1.16, `SFTTrainer._prepare_dataset`) reads `tools` as a list or as its JSON text, and
`chat_template_kwargs` as a mapping, from a table. A table gives every row the same keys and fills
those that a row lacks with nulls, which a template may take for values. So that a row has the same
score on every way in, a teacher set's rows are filled alike when they are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import pyarrow as pa

from lnat_plugins.errors import DataError
from lnat_plugins.formatting import plural
from lnat_plugins.teacher_set.prompts import READ_BY_TEMPLATE, Prompt, Response

_TOOLS, _ARGUMENTS = READ_BY_TEMPLATE
_NEEDED: Final = {_TOOLS: "a list of objects, or its JSON text", _ARGUMENTS: "an object"}
_FILLED: Final = (
    f"rows differ in the keys of '{_ARGUMENTS}'; they are read as TRL reads them from a table, in "
    "which a key that a row lacks is null"
)
_MIXED: Final = f"rows differ in the types under one key of `{_ARGUMENTS}`, which no table holds"


class _Read(NamedTuple):
    """A value as TRL reads it.

    Args:
        value: None where there is nothing for the template, or nothing that TRL can read.
        readable: whether TRL can read it; an empty value counts as readable.
    """

    value: Any
    readable: bool


def template_arguments(response: Response, *, strict: bool = True) -> dict[str, Any]:
    """Arguments of the chat template that a row itself carries, as TRL reads them.

    Args:
        response: of the row.
        strict: whether a value at which TRL would stop is refused; else it is left out.

    Raises:
        DataError: strict: such a value.
    """
    found = {}
    for name in READ_BY_TEMPLATE:
        value = response.extra.get(name)
        found[name], readable = _read(name, value)
        # Empty values at which TRL stops: no JSON text, and no mapping.
        empty = value == "" or (value is None and name == _ARGUMENTS)
        if strict and name in response.extra and (empty or not readable):
            raise DataError(
                f"TRL gives the column `{name}` to the chat template, which cannot read this",
                where=response.where, found=value,
                remedy=f"write {_NEEDED[name]}, or rename the column",
            )  # fmt: skip
    return {_TOOLS: found[_TOOLS], **(found[_ARGUMENTS] or {})}


def settle_template_columns(responses: Sequence[Response]) -> list[dict[str, Any]]:
    """The other columns of rows that are to be written as a table, so that TRL reads them alike.

    A column that is empty in all rows is left out. One in which no row holds what TRL reads has
    nothing to do with the template, and is called `row_<name>`.

    Raises:
        DataError: some rows hold what TRL reads and others something else; types that differ under
            one key of `chat_template_kwargs`.
    """
    extras = [dict(response.extra) for response in responses]
    for name in READ_BY_TEMPLATE:
        given, unreadable = _sorted_out(name, extras)
        if given and unreadable:
            first = unreadable[0]
            raise DataError(
                f"TRL gives the column `{name}` to the chat template, which cannot read it in "
                f"{len(unreadable)} of {plural(len(extras), 'row')}",
                where=responses[first].where, found=extras[first][name],
                remedy=f"write {_NEEDED[name]} in every row, or rename the column",
            )  # fmt: skip
        if name == _ARGUMENTS and given:
            filled = _as_table(extras)
            if filled is None:
                raise DataError(
                    _MIXED, where=responses[given[0]].where,
                    remedy="give every row values of the same type, or leave the column out",
                )  # fmt: skip
            for extra, value in zip(extras, filled, strict=True):
                extra[name] = value
        other = f"row_{name}"
        while any(other in extra for extra in extras):
            other = f"row_{other}"
        for extra in extras if unreadable or not given else ():
            if (value := extra.pop(name, None)) is not None and unreadable:
                extra[other] = value
        for extra in extras:
            if extra.get(name) == "":
                extra[name] = None
    return extras


def fill_template_arguments(prompts: Sequence[Prompt]) -> tuple[Sequence[Prompt], str | None]:
    """Prompts whose responses all have the same keys in `chat_template_kwargs`.

    Returns:
        The prompts, and a sentence where that changed any of them. They stay where no row has the
        column, some hold something else, or no table holds them.
    """
    extras = [response.extra for prompt in prompts for response in prompt.responses]
    given, unreadable = _sorted_out(_ARGUMENTS, extras)
    filled = _as_table(extras) if given and not unreadable else None
    if filled is None or all(
        _texts(extra.get(_ARGUMENTS)) == _texts(value)
        for extra, value in zip(extras, filled, strict=True)
    ):
        return prompts, None
    values = iter(filled)
    changed = [
        replace(
            prompt,
            responses=tuple(
                replace(response, extra={**response.extra, _ARGUMENTS: next(values)})
                for response in prompt.responses
            ),
        )
        for prompt in prompts
    ]
    return changed, _FILLED


def template_column_notes(responses: Iterable[Response]) -> Iterator[str]:
    """A sentence for each of these columns that the template does not get as it is written."""
    extras = [response.extra for response in responses]
    for name in READ_BY_TEMPLATE:
        given, unreadable = _sorted_out(name, extras)
        if unreadable:
            yield (
                f"the column {name!r} is not given to the chat template in "
                f"{plural(len(unreadable), 'row')}, where it does not hold {_NEEDED[name]}"
                + ("; such a set cannot be trained on with the template" if given else "")
            )
        elif name == _ARGUMENTS and given and _as_table(extras) is None:
            yield f"{_MIXED}: such a set cannot be trained on with the template"


def _read(name: str, value: Any) -> _Read:
    if value is None or value == "":
        return _Read(None, True)
    if name == _ARGUMENTS:
        return _Read(value, True) if isinstance(value, dict) else _Read(None, False)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return _Read(None, False)
    if value is None or (isinstance(value, list) and all(isinstance(one, dict) for one in value)):
        return _Read(value, True)
    return _Read(None, False)


def _sorted_out(name: str, extras: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[int]]:
    """The rows that hold something TRL reads, and those that hold something else."""
    given, unreadable = [], []
    for i, extra in enumerate(extras):
        value, readable = _read(name, extra.get(name))
        if not readable:
            unreadable.append(i)
        elif value:
            given.append(i)
    return given, unreadable


def _as_table(extras: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """The rows' `chat_template_kwargs` as a table gives them back; None if it cannot hold them."""
    values = [extra.get(_ARGUMENTS) or {} for extra in extras]
    try:
        return list(pa.array(values).to_pylist())
    except (pa.ArrowException, OverflowError):
        return None


def _texts(arguments: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Whole numbers apart from fractions, as a template writes them."""
    if arguments is None:
        return None
    return {key: json.dumps(value, default=str) for key, value in arguments.items()}
