"""Some rows of each file, spread over it: its beginning, and blocks of rows from the rest.

Blocks, since the rows of a prompt often stand together. Files are read to their end; equally long
files give the same places, so that their prompts meet.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set.config import DataSpec
from lnat_plugins.teacher_set.loaders import Loader, Row, comparable
from lnat_plugins.teacher_set.sources import Source, read_rows

ROWS: Final = 2000
"""Rows that are looked at, over all files."""

_LEAST: Final = 40  # of a file
_BLOCK: Final = 20


def sample_rows(
    source: Source, spec: DataSpec, loaders: Mapping[str, Loader], n_sources: int
) -> list[Mapping[str, Any]]:
    """Rows of one of `n_sources` files, those that can be read.

    Raises DataError for a file that cannot be read, or of which no row can be.
    """
    error: DataError | None = None
    quota = max(_LEAST, ROWS // n_sources)
    rows = iter(read_rows(source, spec, loaders))
    found = []
    for row in spread(rows, quota):
        if isinstance(row, DataError):
            error = error or row
        else:
            found.append(comparable(row.values))
    if not found and error is not None:
        raise error
    return found


def spread(rows: Iterable[Row | DataError], quota: int) -> list[Row | DataError]:
    """At most `quota` rows: half from the beginning, the others in blocks from the rest."""
    rows = iter(rows)
    head = list(islice(rows, quota // 2))
    most = max(1, (quota - len(head)) // _BLOCK)
    kept: dict[int, list[Row | DataError]] = {}
    choose = random.Random(0)
    number = 0
    while block := list(islice(rows, _BLOCK)):
        place = number if number < most else choose.randrange(number + 1)
        if place < most:
            if number >= most:
                del kept[list(kept)[place]]
            kept[number] = block
        number += 1
    return head + [row for number in sorted(kept) for row in kept[number]]
