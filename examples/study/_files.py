"""Files of a study: rows, YAML, and teacher sets; the same content gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

TEACHER_SET: Final = "class: !function lnat_plugins.harness.NaturalnessTask\n"
"""The first line of a teacher set's YAML."""

ON_CPU: Final[Mapping[str, Any]] = {
    "max_length": None,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "disable_tqdm": True,
    "dtype": "float32",
}
"""What `sft:` says of small students on a CPU, whose rows are never cut."""

Row = Mapping[str, Any]


def read_rows(path: Path, columns: Collection[str]) -> list[Row]:
    """JSON lines; an error names the first row that lacks one of the columns."""
    rows: list[Row] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            row = json.loads(line)
            if missing := [name for name in columns if name not in row]:
                raise SystemExit(f"{path} row {number} has no {', '.join(missing)}")
            rows.append(row)
    return rows


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """One JSON object a line; makes the folders above the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def write_yaml(path: Path, values: Mapping[str, Any], first: str = "") -> None:
    """YAML in the order of the keys, behind a first line such as `TEACHER_SET`."""
    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    path.write_text(first + text, encoding="utf-8", newline="\n")
