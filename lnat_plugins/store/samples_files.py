"""Which samples files a folder offers, and whose they are: task, date and student.

Knows nothing of scores. lm-eval names the files `samples_<task>_<date>.jsonl` and writes
`results_<date>.json` (or `<name>_<date>.json`) beside them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lnat_plugins.errors import DataError
from lnat_plugins.store.rows import looks_scored

_NAME: Final = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")
_MODEL_KEYS: Final = ("peft", "delta", "pretrained", "model", "path", "engine")
UNKNOWN_TASK: Final = "unknown"
LOG_SAMPLES: Final = "run lm_eval with --log_samples and --output_path, and name what it wrote"


@dataclass(frozen=True)
class SamplesFile:
    """One samples file. `date` is "" if the file was renamed; dates sort as text."""

    path: Path
    task: str
    date: str
    student: str


@dataclass(frozen=True)
class Found:
    """The files to read, in order, and "file: reason" for those left aside."""

    files: tuple[SamplesFile, ...]
    left_aside: tuple[str, ...]


def find_samples_files(sources: Sequence[Path]) -> Found:
    """Resolve files and folders to the samples files to read; each file once.

    Raises:
        DataError: a source does not exist, or a folder offers nothing to read.
    """
    files: dict[Path, SamplesFile] = {}
    left_aside: list[str] = []
    for source in sources:
        if source.is_dir():
            found = _search(source)
            left_aside += found.left_aside
        elif source.is_file():
            found = Found((_describe(source),), ())
        else:
            raise DataError("no such file or folder", where=str(source), remedy=LOG_SAMPLES)
        for file in found.files:
            files.setdefault(file.path.resolve(), file)
    return Found(tuple(files.values()), tuple(dict.fromkeys(left_aside)))


def _search(folder: Path) -> Found:
    paths = sorted(folder.rglob("samples_*.jsonl"))
    if not paths:
        raise DataError("no samples file in this folder", where=str(folder), remedy=LOG_SAMPLES)
    left_aside = [f"{path}: not the scores of a teacher set" for path in paths]
    newest: dict[tuple[Path, str, str], SamplesFile] = {}
    for path in paths:
        if not looks_scored(path):
            continue
        left_aside.remove(f"{path}: not the scores of a teacher set")
        file = _describe(path)
        key = (path.parent, file.task, file.student)
        older, newer = sorted((file, newest.get(key, file)), key=lambda each: each.date)
        newest[key] = newer
        if older is not newer:
            left_aside.append(f"{older.path}: older than {newer.path.name}")
    if not newest:
        raise DataError(
            "no samples file here holds the scores of a teacher set",
            where=str(folder),
            found=", ".join(path.name for path in paths),
            remedy="run lm_eval on a teacher set (--tasks local_naturalness) with --log_samples",
        )
    return Found(tuple(newest.values()), tuple(left_aside))


def _describe(path: Path) -> SamplesFile:
    match = _NAME.fullmatch(path.name)
    task, date = match.group("task", "date") if match else (UNKNOWN_TASK, "")
    return SamplesFile(path, task, date, _student_of(path, date))


def _student_of(path: Path, date: str) -> str:
    folder = path.resolve().parent
    pattern = f"*_{date}.json" if date else "results_*.json"
    candidates = sorted(folder.glob(pattern))
    if len(candidates) == 1:
        name = _model_name(candidates[0])
        if name:
            return name
    return folder.name


def _model_name(results_file: Path) -> str:
    """The model's name in lm-eval's results; "" where the file does not tell."""
    try:
        results: Any = json.loads(results_file.read_text(encoding="utf-8"))
        name = results.get("model_name")
        arguments = results.get("config", {}).get("model_args")
    except (OSError, ValueError, AttributeError):
        return ""
    if isinstance(name, str) and name:
        return name
    if isinstance(arguments, str):
        arguments = dict(_pairs(arguments.split(",")))
    if isinstance(arguments, dict):
        return next((str(arguments[key]) for key in _MODEL_KEYS if key in arguments), "")
    return ""


def _pairs(parts: Iterable[str]) -> Iterable[tuple[str, str]]:
    for part in parts:
        key, equals, value = part.partition("=")
        if equals:
            yield key.strip(), value.strip()
