"""The loader `jsonl_bz2`: JSON lines, compressed."""

from __future__ import annotations

import bz2
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lnat_plugins import Loader
from lnat_plugins.errors import DataError


def read_bz2(path: Path, shown: str) -> Iterator[dict[str, Any]]:
    """One row a line. A file that is not compressed is an OSError, which is worded for us."""
    with bz2.open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            yield parse(line, f"{shown} row {number}")


def parse(line: bytes, where: str) -> dict[str, Any]:
    """The row of one line; DataError with file and row if there is none."""
    try:
        row: dict[str, Any] = json.loads(line)
    except ValueError as cause:
        raise DataError(
            f"not valid JSON: {cause}", where=where, remedy="write the file again"
        ) from None
    return row


LOADER = Loader("jsonl_bz2", (".jsonl.bz2",), read_bz2)
