"""Samples files of lm-eval: which of a folder's are read, whose they are, and their lines.

lm-eval names them `samples_<task>_<date>.jsonl` and writes `results_<date>.json` (or
`<name>_<date>.json`) beside them. Where there are results they say how many prompts were scored, by
which a samples file that was cut is known: so they must be readable.

- A file named outright is read as it is.
- In a folder, searched with its sub-folders, of each student's and task's samples files in one
  place the newest is read, and the older ones are skipped; of these it is kept whether they are
  the same run with fewer prompts. A run that was spread over several
  folders is therefore merged; one that was repeated in the same folder is not.
- Samples files of other tasks that lie in the same folder are skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from lnat_plugins.errors import DataError
from lnat_plugins.files import RepeatedKeyError, irregular, parse_json, require_regular
from lnat_plugins.teacher_set.unusable import UnusableRows

CUT: Final = "the file was cut or edited: run lm_eval with --log_samples again"
NOT_OURS: Final = "name a samples file that lm_eval wrote with --log_samples for a teacher set"
_LOG_SAMPLES: Final = "run lm_eval with --log_samples and --output_path, and name what it wrote"

_FILE_NAME: Final = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")
_WAY: Final = (
    "steps", "windows", "target_delimiter", "markers", "budget", "prefix", "observations",
    "teachers",
)  # fmt: skip
_MODEL_KEYS: Final = ("peft", "delta", "pretrained", "model", "path", "engine")


LARGE: Final = 1 << 26
"""Bytes from which on a file is read in parts, by several processes."""

_PART: Final = 1 << 22


class SamplesFile(NamedTuple):
    """One samples file.

    `date` is "" if the file was renamed; dates sort as text. Of the teacher set, if a results file
    says so: `prompts` is how many it has, more than were scored under `--limit`, `unusable` its
    rows that could not be used, by teacher, and `data` the fingerprint of the others. `scored` is
    how many prompts were scored, `way` how, and `grown_from` how many an older file beside it has,
    that was scored in the same way with fewer prompts; 0 = none.
    """

    path: Path
    task: str
    date: str
    student: str
    prompts: int = 0
    unusable: Mapping[str, UnusableRows] = MappingProxyType({})
    data: str = ""
    scored: int = 0
    way: Mapping[str, Any] = MappingProxyType({})
    grown_from: int = 0


def find_files(sources: Sequence[Path]) -> tuple[list[SamplesFile], tuple[str, ...]]:
    """The samples files to read, each once, in order; and "file: reason" for those skipped.

    Raises:
        DataError: a source does not exist, or a folder holds nothing to read; or the results beside
            a samples file cannot be read.
    """
    files: dict[Path, SamplesFile] = {}
    skipped: list[str] = []
    for source in sources:
        require_regular(source, DataError)
        if source.is_dir():
            found, not_read = _search(source)
            skipped += not_read
        elif source.is_file():
            found = [_describe(source)]
        else:
            raise DataError("no such file or folder", where=str(source), remedy=_LOG_SAMPLES)
        for file in found:
            files.setdefault(file.path.resolve(), file)
    return list(files.values()), tuple(dict.fromkeys(skipped))


def _search(folder: Path) -> tuple[list[SamplesFile], list[str]]:
    paths = sorted(folder.rglob("samples_*.jsonl"))
    if not paths:
        raise DataError("no samples file in this folder", where=str(folder), remedy=_LOG_SAMPLES)
    others: list[str] = []
    older_ones: list[str] = []
    runs: dict[tuple[Path, str, str], list[SamplesFile]] = {}
    for path in paths:
        if not _is_ours(path):
            others.append(f"{path}: not the scores of a teacher set")
            continue
        file = _describe(path)
        runs.setdefault((path.parent, file.task, file.student), []).append(file)
    newest: list[SamplesFile] = []
    for files in runs.values():
        *older, last = sorted(files, key=lambda each: each.date)
        older_ones += [f"{one.path}: older than {last.path.name}" for one in older]
        fewer = [one.scored for one in older if one.way and one.way == last.way]
        newest.append(last._replace(grown_from=_fewest(fewer, last.scored)))
    if not newest:
        raise DataError(
            "no samples file here holds the scores of a teacher set",
            where=str(folder), found=", ".join(path.name for path in paths),
            remedy="run lm_eval on a teacher set (--tasks local_naturalness) with --log_samples",
        )  # fmt: skip
    return newest, others + older_ones


def _fewest(counts: Iterable[int], than: int) -> int:
    """The least of those that are known and fewer; 0 if there is none."""
    return min((count for count in counts if 0 < count < than), default=0)


def _is_ours(path: Path) -> bool:
    try:
        doc = next(read_lines(path)).parsed["doc"]
    except DataError:
        return True  # so that reading it raises the error
    return isinstance(doc, Mapping) and {"prompt_id", "responses"} <= doc.keys()


def prefix_of(path: Path) -> str:
    """Which part of each response the file's first record scored; "" = all, or not readable."""
    try:
        replies = (reply for line in read_lines(path) for reply in line.parsed["resps"])
        return str(parse_json(next(replies)[0])["settings"].get("prefix", ""))
    except (DataError, ValueError, LookupError, TypeError, AttributeError, StopIteration,
            RecursionError):  # fmt: skip
        return ""  # so that reading it raises the error


def _describe(path: Path) -> SamplesFile:
    match = _FILE_NAME.fullmatch(path.name)
    task, date = match.group("task", "date") if match else ("unknown", "")
    folder = path.resolve().parent
    results = sorted(folder.glob(f"*_{date}.json" if date else "results_*.json"))
    found = _results(results[0]) if len(results) == 1 else {}
    about = _about_set(found, task)
    return SamplesFile(
        path, task, date, _model_name(found) or folder.name, _prompts(found, task, "original"),
        _unusable(about), str(about.get("data_fingerprint", "")),
        _prompts(found, task, "effective"), {key: about[key] for key in _WAY if key in about},
    )  # fmt: skip


def _results(path: Path) -> Mapping[str, Any]:
    """lm-eval's results; empty where the file holds something else."""
    problem = irregular(path)
    try:
        found = None if problem else json.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        problem = cause.strerror or str(cause)
    except (ValueError, RecursionError):
        problem = "no JSON"
    if problem:
        raise DataError(
            "the results beside a samples file cannot be read, so nothing says whether it is whole",
            where=str(path), found=problem,
            remedy="copy them again, or remove both files and score again",
        )  # fmt: skip
    return found if isinstance(found, Mapping) else {}


def _prompts(results: Mapping[str, Any], task: str, which: Literal["original", "effective"]) -> int:
    """How many prompts the task has, or `--limit` left of them; 0 if that is not known."""
    try:
        return int(results["n-samples"][task][which])
    except (KeyError, TypeError, ValueError):
        return 0


def _about_set(results: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    """What the task wrote of its teacher set; empty where the results do not say."""
    try:
        found = results["configs"][task]["metadata"]["naturalness"]
    except (KeyError, TypeError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _unusable(about: Mapping[str, Any]) -> dict[str, UnusableRows]:
    """Teacher -> its rows that could not be used; empty where that is not known."""
    try:
        return {
            str(teacher): UnusableRows(
                int(one["rows"]),
                {str(reason): int(count) for reason, count in one["reasons"].items()},
                {str(reason): str(place) for reason, place in one["places"].items()},
            )
            for teacher, one in about["unusable"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _model_name(results: Mapping[str, Any]) -> str:
    """The model's name in lm-eval's results; "" where they hold none."""
    config = results.get("config")
    name = results.get("model_name")
    arguments = config.get("model_args") if isinstance(config, Mapping) else None
    if isinstance(name, str) and name:
        return name
    if isinstance(arguments, str):
        parts = (part.partition("=") for part in arguments.split(","))
        arguments = {key.strip(): value.strip() for key, equals, value in parts if equals}
    if isinstance(arguments, dict):
        return next((str(arguments[key]) for key in _MODEL_KEYS if key in arguments), "")
    return ""


class Line(NamedTuple):
    """A document of a samples file with its replies.

    Attributes:
        parsed: the line's object.
        where: file and line, for messages.
        offset: where the line begins, in bytes.
    """

    parsed: Mapping[str, Any]
    where: str
    offset: int


class Part(NamedTuple):
    """Whole lines of a samples file: bytes from `begin` to `end`, and the first line's number."""

    path: Path
    begin: int
    end: int
    number: int


def parts_of(path: Path) -> list[Part]:
    """A large file in parts that can be read by themselves; of a small one there is none."""
    found: list[Part] = []
    begin, number, place = 0, 1, 0
    if irregular(path):
        return []
    try:
        if path.stat().st_size < LARGE:
            return []
        with path.open("rb") as file:
            while block := file.read(_PART):
                end = place + block.rfind(b"\n") + 1
                if end > place:
                    found.append(Part(path, begin, end, number))
                    begin, number = end, number + block.count(b"\n")
                place += len(block)
    except OSError:
        return []  # so that reading it raises the error
    if begin < place:
        found.append(Part(path, begin, place, number))
    return found


def read_lines(path: Path, part: Part | None = None) -> Iterator[Line]:
    """The documents of a samples file, or of a part of it, in order.

    Raises:
        DataError: unreadable text or JSON, a line of another kind of file; a file without a line.
    """
    first, offset, empty = 1, 0, part is None
    require_regular(path, DataError)
    number = 0
    try:
        with path.open("rb") as file:
            if part is not None:
                first, offset = part.number, part.begin
                file.seek(offset)
            for number, raw in enumerate(file, start=first):
                if part is not None and offset >= part.end:
                    break
                begin, offset = offset, offset + len(raw)
                line = raw.decode("utf-8")
                if not line.strip():
                    continue
                empty = False
                yield Line(_parsed(line, path, number), f"{path} line {number}", begin)
    except UnicodeDecodeError:
        raise DataError("not UTF-8 text", where=f"{path} line {number}", remedy=CUT) from None
    except OSError as error:
        raise DataError("cannot be opened", where=str(path), found=error.strerror) from None
    if empty:
        raise DataError("the samples file is empty", where=str(path), remedy=CUT)


def _parsed(line: str, path: Path, number: int) -> Mapping[str, Any]:
    where = f"{path} line {number}"
    try:
        parsed = parse_json(line)
    except RepeatedKeyError as cause:
        raise DataError(str(cause), where=where, remedy=CUT) from None
    except (ValueError, RecursionError):
        what, found = "not valid JSON", line.rstrip()
        remedy = CUT if path.suffix == ".jsonl" else NOT_OURS
        raise DataError(what, where=where, found=found, remedy=remedy) from None
    if not isinstance(parsed, Mapping) or not {"doc", "resps"} <= parsed.keys():
        what = "not a line of a samples file"
        raise DataError(what, where=where, found=line, remedy=NOT_OURS)
    return parsed
