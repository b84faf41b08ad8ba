"""Columns that TRL gives to the chat template with each row: `tools`, `chat_template_kwargs`.

TRL (1.16, `SFTTrainer._prepare_dataset`) reads `tools` as a list or as its JSON text, and
`chat_template_kwargs` as a mapping, from a table. A table gives every row the same keys and fills
those that a row lacks with nulls, which a template takes for values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from lnat_plugins.errors import DataError
from lnat_plugins.formatting import plural
from lnat_plugins.teacher_set.prompts import READ_BY_TEMPLATE, Response

_TOOLS, _ARGUMENTS = READ_BY_TEMPLATE
_NEEDED: Final = {_TOOLS: "a list of objects, or its JSON text", _ARGUMENTS: "an object"}
_UNEVEN: Final = (
    f"rows differ in the keys or types of `{_ARGUMENTS}`, and TRL reads a key that a row lacks as "
    "null"
)
_ALIKE: Final = "give every row the same keys, or leave the column out"


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
        DataError: some rows hold what TRL reads and others something else, or have other keys in
            `chat_template_kwargs`.
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
        if name == _ARGUMENTS and given and (odd := _uneven(extras)) is not None:
            raise DataError(
                _UNEVEN, where=responses[odd].where, found=extras[odd].get(name), remedy=_ALIKE
            )
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
        elif name == _ARGUMENTS and given and _uneven(extras) is not None:
            yield f"{_UNEVEN}: such a set cannot be trained on with the template; {_ALIKE}"


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


def _uneven(extras: Sequence[Mapping[str, Any]]) -> int | None:
    """The first row whose `chat_template_kwargs` a table would change; None if it changes none."""
    values = [extra.get(_ARGUMENTS) or {} for extra in extras]
    try:
        back = pa.array(values).to_pylist()
    except (pa.ArrowException, OverflowError):
        # Types differ under one key.
        first = {key: type(value) for key, value in values[0].items()}
        kinds = ({key: type(value) for key, value in one.items()} for one in values)
        return next((i for i, one in enumerate(kinds) if one != first), 0)
    pairs = zip(values, back, strict=True)
    return next((i for i, (one, read) in enumerate(pairs) if _texts(one) != _texts(read)), None)


def _texts(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Whole numbers apart from fractions, as a template writes them."""
    return {key: json.dumps(value, default=str) for key, value in arguments.items()}
