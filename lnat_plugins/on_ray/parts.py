"""The parts that Ray writes, which of them count, and the samples file that is made of them.

Each run has a folder of its own, by its number. A part is a parquet file with the columns `number`,
`id`, `line` (of a samples file), `reason` (why there is none), `final` (whether another run would
give the same) and `error` (the reason with its place). A prompt may stand in several: where a run
was killed after it was scored, and where it was asked again. A file that a killed process left half
written has no end, and is removed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lnat_plugins.errors import ConfigError
from lnat_plugins.locks import beside

SCHEMA: Final = pa.schema(
    [
        ("number", pa.int64()), ("id", pa.string()), ("line", pa.large_string()),
        ("reason", pa.string()), ("final", pa.bool_()), ("error", pa.string()),
    ]
)  # fmt: skip

_ROWS: Final = 16
"""Rows of a part in memory at a time: a line may have megabytes."""

_FAILED, _SCORED, _FINAL = 1, 2, 3


class State(NamedTuple):
    """What the parts hold.

    Args:
        of_N: of each prompt of the set, by number: 0 = nothing, 1 = a reason alone, 2 = a line that
            another run may improve, 3 = a final line.
        reasons: number -> why it has no line; of those that have none.
    """

    of_N: np.ndarray[Any, np.dtype[np.uint8]]
    reasons: Mapping[int, str]

    @property
    def done_N(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Prompts that need not be asked."""
        found: np.ndarray[Any, np.dtype[np.bool_]] = self.of_N == _FINAL
        return found

    @property
    def scored(self) -> int:
        """Prompts that have a line."""
        return int((self.of_N >= _SCORED).sum())

    @property
    def failed(self) -> dict[str, int]:
        """Reason -> number of prompts that were asked and have no line, most first."""
        return dict(Counter(self.reasons.values()).most_common())


def part_files(folder: Path) -> list[Path]:
    """The parts that can be read, those of an earlier run first; those cut short are removed."""
    return [path for path in sorted(folder.rglob("*.parquet")) if _whole(path)]


def next_folder(folder: Path) -> Path:
    """Where the next run's parts belong: a folder by its number."""
    numbers = (int(one.name) for one in folder.glob("*") if one.name.isdecimal())
    return folder / f"{max(numbers, default=0) + 1:05d}"


def _whole(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except pa.ArrowInvalid:
        path.unlink()
        return False
    return True


def read_state(folder: Path, n_prompts: int) -> State:
    """What the parts of a folder hold of a set of so many prompts; lines are not read."""
    of_N = np.zeros(n_prompts, np.uint8)
    reasons: dict[int, str] = {}
    for path in part_files(folder):
        for batch in _batches(path, "number", "reason", "final"):
            values = (batch[name].to_pylist() for name in ("number", "reason", "final"))
            for number, reason, final in zip(*values, strict=True):
                state = _FAILED if reason else _FINAL if final else _SCORED
                of_N[number] = max(of_N[number], state)
                if reason:
                    reasons[number] = reason  # the last one
    return State(of_N, {n: why for n, why in reasons.items() if of_N[n] == _FAILED})


def write_samples(folder: Path, state: State, path: Path) -> None:
    """Write the lines of the parts as a samples file, in the set's order, atomically.

    In two passes over files, so that memory holds a few lines at a time: the lines as they come,
    then by their places in order.

    Raises:
        ConfigError: the file cannot be written.
    """
    begin_N = np.full(len(state.of_N), -1, np.int64)
    length_N = np.zeros(len(state.of_N), np.int64)
    new, loose = beside(path, "new"), beside(path, "old")
    try:
        with loose.open("w+b") as lines:
            for part in part_files(folder):
                for batch in _batches(part, "number", "line", "final"):
                    for row in batch.to_pylist():
                        number, line = row["number"], row["line"].encode()
                        wanted = state.of_N[number] == (_FINAL if row["final"] else _SCORED)
                        if not line or not wanted or begin_N[number] >= 0:
                            continue
                        begin_N[number], length_N[number] = lines.tell(), len(line)
                        lines.write(line)
            with new.open("wb") as samples:
                for number in np.flatnonzero(begin_N >= 0):
                    lines.seek(begin_N[number])
                    samples.write(lines.read(length_N[number]) + b"\n")
                samples.flush()
                os.fsync(samples.fileno())
        new.replace(path)
    except OSError as cause:
        raise ConfigError(
            "the samples file cannot be written", where=str(path), found=cause.strerror,
            remedy="make room there and run again; what is scored is not scored again",
        ) from None  # fmt: skip
    finally:
        for one in (new, loose):
            one.unlink(missing_ok=True)


def _batches(path: Path, *columns: str) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=_ROWS, columns=list(columns))
