"""Chosen rows as one parquet file. Knows nothing of what the columns mean.

Arrow wants one type a column. A column of the rows' own whose values have none in common
(numbers here, text there) is written as JSON text, value by value; a missing value is null.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from lnat_plugins.selection import Pool, Selection
from lnat_plugins.training_set.columns import own_columns, row_columns, spare_names

_BATCH: Final = 1000
_TURNS: Final = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_OWN: Final = {
    "lnat_teacher": pa.string(),
    "lnat_sample": pa.int64(),
    "lnat_prompt_id": pa.string(),
    "lnat_score": pa.float64(),
    "lnat_weight": pa.float64(),
    "lnat_correct": pa.bool_(),
    "lnat_index": pa.int64(),
}


def write_parquet(
    path: Path, pool: Pool, selection: Selection, form: str, kept: Collection[str] = ()
) -> None:
    """One row per chosen row, ascending: TRL's columns, ours (`lnat_*`), and the row's others.

    Args:
        path: the file; its folder is there.
        pool: all candidates.
        selection: of that pool, at least one row chosen.
        form: one of `columns.FORMS`, and one that these rows have.
        kept: other columns of the rows that keep their name though TRL reads them.
    """
    rows = [pool.rows[index] for index in selection.indices]
    texts = [row_columns(row, plain=pool.plain, form=form) for row in rows]
    own = own_columns(pool, selection)
    types = dict.fromkeys(texts[0], pa.string() if pool.plain else _TURNS) | _OWN
    if isinstance(own[0]["lnat_sample"], str):
        types["lnat_sample"] = pa.string()
    spare = {
        written: _column([row.response.extra.get(name) for row in rows])
        for name, written in spare_names((row.response.extra for row in rows), kept).items()
    }
    schema = pa.schema([*types.items(), *((name, one.type) for name, one in spare.items())])
    with pq.ParquetWriter(path, schema) as writer:
        # In parts, because the texts of one list column must stay below two gigabytes.
        for begin in range(0, len(rows), _BATCH):
            part = slice(begin, begin + _BATCH)
            lines = [ours | theirs for ours, theirs in zip(texts[part], own[part], strict=True)]
            arrays = [pa.array([line[name] for line in lines], types[name]) for name in types]
            arrays += [column.slice(begin, _BATCH) for column in spare.values()]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _column(values: Sequence[Any]) -> Any:
    """The values in the type that they share, else each as JSON text."""
    try:
        column = pa.array(values)
        if _can_be_written(column.type):
            return column
    except (pa.ArrowException, OverflowError):
        pass
    texts = [None if one is None else json.dumps(one, ensure_ascii=False) for one in values]
    return pa.array(texts, pa.string())


def _can_be_written(kind: Any) -> bool:
    """Parquet has no structure without fields."""
    if pa.types.is_struct(kind):
        fields = [kind.field(place).type for place in range(kind.num_fields)]
        return bool(fields) and all(map(_can_be_written, fields))
    return not pa.types.is_list(kind) or _can_be_written(kind.value_type)
