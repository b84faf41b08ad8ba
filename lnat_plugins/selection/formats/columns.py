"""Columns of chosen rows, texts and provenance and the rows' others, and the files they fill.

The texts of plain rows are strings, else they are lists of turns. TRL detects a data set's format
by its column names (trl 1.16): a second format beside ours makes it read the wrong one, and names
such as `input_ids` or `images` make it skip its own preparation. A row's other column of such a
name is written as "row_<name>".
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from lnat_plugins.teacher_set.prompts import READ_BY_TEMPLATE, Candidate
from lnat_plugins.teacher_set.whole_conversations import first_scored, for_template

Columns = dict[str, tuple[Any, Sequence[Any]]]
"""Name -> type of pyarrow, and a value a row."""

RESERVED: Final = frozenset(
    """
    prompt completion messages text conversations chosen rejected tools chat_template_kwargs
    image images videos pixel_values input_ids labels label attention_mask position_ids
    completion_mask assistant_masks seq_lengths
    """.split()
)
"""Column names that mean something to TRL; none of a row's other columns may have one of them."""

_BATCH: Final = 1000


def conversation(row: Candidate) -> list[dict[str, Any]]:
    """The row's turns, the response last."""
    return [*_opening(row), *_response(row)]


def _opening(row: Candidate) -> list[dict[str, Any]]:
    """The turns before the response; of a conversation, its own."""
    own = row.response.turns
    return [*map(dict, row.messages)] if own is None else for_template(own[: first_scored(own)])


def _response(row: Candidate) -> list[dict[str, Any]]:
    """The turns of the response."""
    own = row.response.turns
    return [response_turn(row)] if own is None else for_template(own[first_scored(own) :])


def response_turn(row: Candidate) -> dict[str, Any]:
    """The response as the last turn."""
    return {"role": "assistant", **(row.response.turn or {"content": row.text})}


def prompts(rows: Sequence[Candidate], plain: bool) -> Columns:
    """`prompt` alone."""
    if plain:
        return {"prompt": (pa.string(), [row.messages[0]["content"] for row in rows])}
    return {"prompt": turns([_opening(row) for row in rows])}


def responses(name: str, rows: Sequence[Candidate], plain: bool) -> Columns:
    """The responses alone, under that name."""
    if plain:
        return {name: (pa.string(), [row.text for row in rows])}
    return {name: turns([_response(row) for row in rows])}


def turns(conversations: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[Any, Sequence[Any]]:
    """A column of conversations; a turn has role, content, and what else some turn has."""
    keys = dict.fromkeys(key for turns in conversations for turn in turns for key in turn)
    fields = [(key, _OF_TURNS.get(key, pa.string())) for key in keys]
    if _CALLS in keys:
        conversations = [[_with_text_of_calls(turn) for turn in one] for one in conversations]
    return pa.list_(pa.struct(fields)), conversations


_CALLS: Final = "tool_calls"
_OF_TURNS: Final[Mapping[str, Any]] = {"train": pa.bool_(), _CALLS: pa.json_()}
"""The types of a turn's keys that are no text. Calls are JSON, which `datasets` reads as objects:
a table would give all calls the same arguments, and fill those that one lacks with nulls."""


def _with_text_of_calls(turn: Mapping[str, Any]) -> Mapping[str, Any]:
    calls = turn.get(_CALLS)
    return turn if calls is None else {**turn, _CALLS: json.dumps(calls, ensure_ascii=False)}


def _array(values: Sequence[Any], kind: Any) -> Any:
    """The values as that type; JSON is given as its text, which pyarrow casts."""
    if not (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)):
        return pa.array(values, kind)
    fields = [
        pa.field(own.name, pa.string()) if own.type == pa.json_() else own
        for own in kind.value_type.fields
    ]
    return pa.array(values, pa.list_(pa.struct(fields))).cast(kind)


def provenance(
    rows: Sequence[Candidate],
    scores: Sequence[float],
    weights: Sequence[float] | None = None,
    prefix: str = "lnat_",
) -> Columns:
    """Whose responses the rows are, and what they scored: `lnat_teacher` and the like.

    Args:
        scores: of all candidates; NaN is null.
        weights: one a row; None writes no such column.

    `lnat_sample` is text if any of the samples is.
    """
    samples = [row.response.sample for row in rows]
    numbers = all(isinstance(one, int) and abs(one) < 2**63 for one in samples)
    found = [scores[row.index] for row in rows]
    columns: Columns = {
        "teacher": (pa.string(), [row.teacher for row in rows]),
        "sample": (pa.int64(), samples) if numbers else (pa.string(), [*map(str, samples)]),
        "prompt_id": (pa.string(), [row.prompt_id for row in rows]),
        "score": (pa.float64(), [None if math.isnan(score) else score for score in found]),
        **({} if weights is None else {"weight": (pa.float64(), weights)}),
        "correct": (pa.bool_(), [row.response.correct for row in rows]),
        "index": (pa.int64(), [row.index for row in rows]),
    }
    return {prefix + name: column for name, column in columns.items()}


def others(rows: Sequence[Candidate], plain: bool, only: Collection[str] = ()) -> Columns:
    """The rows' other columns, those of TRL's names renamed; `only`: none but these."""
    extras = [row.response.extra for row in rows]
    columns: Columns = {}
    for name, written in extra_names(extras, plain=plain).items():
        if only and written not in only:
            continue
        as_json = written == "tools"  # as TRL reads them
        column = extra_column([extra.get(name) for extra in extras], as_json=as_json)
        columns[written] = column.type, column
    return columns


def extra_names(
    extras: Iterable[Mapping[str, Any]], *, plain: bool, taken: Collection[str] = ()
) -> dict[str, str]:
    """Name of a row's other column -> the name it is written under, in order of appearance.

    TRL reads those of `READ_BY_TEMPLATE` as its own in conversations, and rows are scored with
    them; they keep their names there. `taken`: names of further columns.
    """
    names = dict.fromkeys(name for extra in extras for name in extra)
    reserved = (RESERVED if plain else RESERVED.difference(READ_BY_TEMPLATE)).union(taken)
    renamed = {name for name in names if name in reserved or name.startswith("lnat_")}
    used = names.keys() - renamed
    found = {}
    for name in names:
        written = name
        while name in renamed and written in used | renamed | reserved:
            written = f"row_{written}"
        used.add(written)
        found[name] = written
    return found


def extra_column(values: Sequence[Any], *, as_json: bool = False) -> Any:
    """The values in the type that they share; without one, each as JSON text. None is null.

    `as_json`: as JSON text in any case (text stays), for what must come back as it was: a table
    fills the keys that an object lacks with nulls.
    """
    if as_json:
        texts = [
            one if one is None or isinstance(one, str) else json.dumps(one, ensure_ascii=False)
            for one in values
        ]
        return pa.array(texts, pa.string())
    try:
        column = pa.array(values)
        # Refuses what Parquet does not have, such as a struct without fields.
        pq.write_metadata(pa.schema([("column", column.type)]), pa.BufferOutputStream())
        return column
    except (pa.ArrowException, OverflowError):
        texts = [None if one is None else json.dumps(one, ensure_ascii=False) for one in values]
        return pa.array(texts, pa.string())


def as_table(columns: Columns, part: slice = slice(None)) -> pa.Table:
    """These rows of the columns."""
    schema = pa.schema([(name, kind) for name, (kind, _) in columns.items()])
    arrays = [_array(values[part], kind) for kind, values in columns.values()]
    return pa.Table.from_arrays(arrays, schema=schema)


def write_columns(path: Path, columns: Columns) -> None:
    """Write a parquet file, or JSON lines, as the path ends; at least one row."""
    _WRITERS[path.suffix](path, columns)


def _write_parquet(path: Path, columns: Columns) -> None:
    size = len(next(iter(columns.values()))[1])
    with pq.ParquetWriter(path, as_table(columns, slice(0)).schema) as writer:
        # In parts, because the texts of one list column must stay below two gigabytes. (A
        # `datasets.Dataset` would hold them all in one, or write them to a cache first.)
        for begin in range(0, size, _BATCH):
            writer.write_table(as_table(columns, slice(begin, begin + _BATCH)))


def _write_json_lines(path: Path, columns: Columns) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for values in zip(*(values for _, values in columns.values()), strict=True):
            row = dict(zip(columns, values, strict=True))
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


_WRITERS: Final[Mapping[str, Callable[[Path, Columns], None]]] = {
    ".parquet": _write_parquet,
    ".jsonl": _write_json_lines,
}
