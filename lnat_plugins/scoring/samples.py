"""One samples file, line by line: each line is a prompt with all its scored responses.

Knows nothing of other files.

The scores of one task by one student, as read from one or several samples files.

Knows nothing of how files are found and read.

Which samples files a folder offers, and whose they are: task, date and student.

Knows nothing of scores. lm-eval names the files `samples_<task>_<date>.jsonl` and writes
`results_<date>.json` (or `<name>_<date>.json`) beside them.

Several samples files of one task made into one set, or refused if they do not belong together.

Knows nothing of how files are found.

Reads scores back from the samples files that lm-eval's `--log_samples` writes.

Knows nothing of lm-eval's code, of models and of metrics. Which files are read:

- a file named outright is read as it is;
- in a folder, searched with its sub-folders, of each student's and task's samples files in one
  place the newest is read, and the older ones are left aside (a run that was spread over several
  folders is therefore merged; one that was repeated in the same folder is not);
- files of different students are never merged; each student has a set of its own;
- samples files of other tasks that lie in the same folder are left aside.

`ScoredSet.files` and `ScoredSet.left_aside` say what came of it, so that a caller can show it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.scoring.record import ScoredResponse, StepSums
from lnat_plugins.teacher_set.prompts import Candidate, Message, Response

_AGAIN: Final = "the file was cut or edited: run lm_eval with --log_samples again"
_NOT_OURS: Final = "name a samples file that lm_eval wrote with --log_samples for a teacher set"
_OWN_FIELDS: Final = ("teacher", "sample", "response", "correct", "steps")


@dataclass(frozen=True)
class ScoredPrompt:
    """One line: a prompt and its rows, in the order of its responses.

    messages: the prompt's turns.
    where: file and line, for errors.
    """

    prompt_id: str
    messages: tuple[Message, ...]
    rows: tuple[ScoredResponse, ...]
    where: str


def read_prompts(path: Path) -> Iterator[ScoredPrompt]:
    """The lines of a samples file, in order.

    Raises:
        DataError: unreadable text or JSON, a line of something else, a record that does not
            fit its response; names file and line.
    """
    for number, line in _lines(path):
        yield _prompt(_parse(line, f"{path} line {number}"), f"{path} line {number}")


def looks_scored(path: Path) -> bool:
    """Whether the first line is that of a teacher set. A line that cannot be read counts as one,
    so that reading the file tells what is wrong with it.
    """
    try:
        for number, line in _lines(path):
            doc = _parse(line, f"{path} line {number}")["doc"]
            return isinstance(doc, Mapping) and {"prompt_id", "responses"} <= doc.keys()
    except DataError:
        pass
    return True


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    empty = True
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    empty = False
                    yield number, line
    except UnicodeDecodeError:
        raise DataError(
            "not UTF-8 text", where=f"{path} line {number + 1}", remedy=_AGAIN
        ) from None
    except OSError as error:
        raise DataError("cannot be opened", where=str(path), found=error.strerror) from None
    if empty:
        raise DataError("the samples file is empty", where=str(path), remedy=_AGAIN)


def _parse(line: str, where: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError("not valid JSON", where=where, found=line.rstrip(), remedy=_AGAIN) from None
    if not isinstance(parsed, Mapping) or not {"doc", "resps"} <= parsed.keys():
        raise DataError("not a line of a samples file", where=where, found=line, remedy=_NOT_OURS)
    return parsed


def _prompt(line: Mapping[str, Any], where: str) -> ScoredPrompt:
    doc, answers = line["doc"], line["resps"]
    if not isinstance(doc, Mapping) or not isinstance(doc.get("responses"), list):
        raise DataError(
            "a sample of another task, not of a teacher set", where=where, remedy=_NOT_OURS
        )
    prompt_id = doc.get("prompt_id")
    if not isinstance(prompt_id, str):
        raise DataError(
            "field 'prompt_id' is not a text", where=where, found=prompt_id, remedy=_AGAIN
        )
    where = f"{where}, prompt {prompt_id!r}"
    responses = doc["responses"]
    if not isinstance(answers, list) or len(answers) != len(responses):
        raise DataError(
            f"not one scored record for each of {len(responses)} responses",
            where=where,
            found=answers,
            remedy=_AGAIN,
        )
    messages = _messages(doc, where)
    pairs = zip(responses, answers, strict=True)
    rows = tuple(_row(prompt_id, messages, response, answer, where) for response, answer in pairs)
    return ScoredPrompt(prompt_id, messages, rows, where)


def _messages(doc: Mapping[str, Any], where: str) -> tuple[Message, ...]:
    text = doc.get("prompt")
    if not isinstance(text, str):
        raise DataError("field 'prompt' is not a text", where=where, found=text, remedy=_AGAIN)
    turns = doc.get("messages") or [{"role": "user", "content": text}]
    fits = isinstance(turns, list) and all(
        isinstance(turn, Mapping)
        and turn.keys() == {"role", "content"}
        and all(isinstance(value, str) for value in turn.values())
        for turn in turns
    )
    if not fits:
        raise DataError(
            "field 'messages' is not a list of turns", where=where, found=turns, remedy=_AGAIN
        )
    return tuple(turns)


def _row(
    prompt_id: str, messages: tuple[Message, ...], response: Any, answer: Any, where: str
) -> ScoredResponse:
    if not isinstance(response, Mapping) or not isinstance(response.get("response"), str):
        raise DataError(
            "a response without the field 'response'", where=where, found=response, remedy=_AGAIN
        )
    teacher, correct = response.get("teacher"), response.get("correct")
    where = f"{where}, teacher {teacher!r}"
    if not isinstance(answer, list) or len(answer) != 1:
        raise DataError("not a scored record", where=where, found=answer, remedy=_NOT_OURS)
    record = StepSums.from_json(answer[0], where)
    if (record.teacher, record.sample) != (teacher, response.get("sample")):
        raise DataError(
            "the record belongs to another response",
            where=where,
            found=f"teacher {record.teacher}, sample {record.sample}",
            remedy=_AGAIN,
        )
    if correct is not None and not isinstance(correct, bool):
        raise DataError(
            "field 'correct' is neither true, false nor null", where=where, found=correct
        )
    own = Response(
        teacher=record.teacher,
        text=response["response"],
        sample=record.sample,
        correct=correct,
        steps=_steps(response.get("steps"), where),
        extra={name: value for name, value in response.items() if name not in _OWN_FIELDS},
        where=where,
    )
    return ScoredResponse(Candidate(0, prompt_id, messages, own), record)


def _steps(value: Any, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(step, str) for step in value):
        raise DataError(
            "field 'steps' is not a list of text", where=where, found=value, remedy=_AGAIN
        )
    return tuple(value)


@dataclass(frozen=True)
class ScoredSet:
    """Every scored response, in file order.

    Attributes:
        task: the task's name, from the file name; "unknown" if the file was renamed.
        student: the model's name or path, from `results_*.json` beside the samples file, else
            the name of the folder.
        rows: one per (prompt, teacher, sample).
        prompts: prompt ids in order of first appearance, those without a response included.
        windows: as the settings list them; the first is the default.
        settings: the task's settings.
        settings_hash: their fingerprint; the same in every row.
        splitter: name and version; the same in every row.
        paths: the engine paths met among the rows, sorted.
        files: the files read, in order.
        left_aside: "file: reason" for each samples file that was found but not read.
        duplicates: rows met again with the same numbers, and counted once.
    """

    task: str
    student: str
    rows: tuple[ScoredResponse, ...]
    prompts: tuple[str, ...]
    windows: tuple[str, ...]
    settings: Mapping[str, Any]
    settings_hash: str
    splitter: str
    paths: tuple[str, ...]
    files: tuple[str, ...]
    left_aside: tuple[str, ...]
    duplicates: int

    @property
    def teachers(self) -> tuple[str, ...]:
        """Teachers in order of first appearance."""
        return tuple(dict.fromkeys(row.teacher for row in self.rows))

    def only(self, teachers: Collection[str] | None) -> ScoredSet:
        """The same with the rows of these teachers only, in file order; None = all.

        Raises:
            ConfigError: one that is not among them.
        """
        if teachers is None:
            return self
        known = self.teachers
        for teacher in teachers:
            if teacher not in known:
                raise ConfigError(
                    f"unknown teacher {teacher!r}",
                    where=f"task {self.task}",
                    remedy=did_you_mean(teacher, known),
                )
        return replace(self, rows=tuple(row for row in self.rows if row.teacher in teachers))

    def window(self, name: str | None) -> str:
        """The scored window of that name; by default the first.

        Raises:
            ConfigError: it was not scored.
        """
        if name is None:
            return self.windows[0]
        if name not in self.windows:
            raise ConfigError(
                f"window {name!r} was not scored",
                where=f"task {self.task}",
                remedy=did_you_mean(name, self.windows),
            )
        return name


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


TOLERANCE: Final = 1e-9
"""Sums this near each other, absolutely or relatively, are the same number."""

_ONE_RUN: Final = "name the files of one run only"


def merge(files: Sequence[SamplesFile], left_aside: tuple[str, ...]) -> ScoredSet:
    """Read files of one task and student, in order, into one set; a row met twice is kept once.

    Raises:
        DataError: a file cannot be read; prompts, settings or splitters differ; or the same
            (prompt, teacher, sample) has different numbers in two places.
    """
    rows: dict[tuple[str, str, int | str], ScoredResponse] = {}
    prompts: dict[str, ScoredPrompt] = {}
    duplicates = 0
    for file in files:
        for prompt in read_prompts(file.path):
            known = prompts.setdefault(prompt.prompt_id, prompt)
            if known.messages != prompt.messages:
                raise DataError(
                    f"prompt {prompt.prompt_id!r} is another prompt than at {known.where}",
                    where=prompt.where,
                    remedy="merge files of one teacher set only",
                )
            for row in prompt.rows:
                first = rows.setdefault((row.prompt_id, row.teacher, row.sample), row)
                if first is not row:
                    duplicates += 1
                    _refuse_other_numbers(first, row)
    kept = tuple(
        replace(row, candidate=replace(row.candidate, index=index))
        for index, row in enumerate(rows.values())
    )
    if not kept:
        raise DataError("no scored response in the samples file", where=str(files[0].path))
    for row in kept:
        _refuse_other_settings(kept[0], row)
    return scored_set(
        kept, files[0].task, files[0].student, tuple(prompts),
        files=tuple(str(file.path) for file in files), left_aside=left_aside, duplicates=duplicates,
    )  # fmt: skip


def scored_set(
    rows: tuple[ScoredResponse, ...],
    task: str,
    student: str,
    prompts: tuple[str, ...],
    *,
    files: tuple[str, ...] = (),
    left_aside: tuple[str, ...] = (),
    duplicates: int = 0,
) -> ScoredSet:
    """The set that these rows make, all scored with the settings of the first.

    Args:
        rows: at least one.
        task, student, prompts, files, left_aside, duplicates: see `ScoredSet`.
    """
    record = rows[0].record
    return ScoredSet(
        task=task,
        student=student,
        rows=rows,
        prompts=prompts,
        windows=_windows(record),
        settings=record.settings,
        settings_hash=record.settings_hash,
        splitter=record.splitter,
        paths=tuple(sorted({row.record.path for row in rows})),
        files=files,
        left_aside=left_aside,
        duplicates=duplicates,
    )


def _windows(record: StepSums) -> tuple[str, ...]:
    listed = record.settings.get("windows")
    return tuple(map(str, listed if isinstance(listed, list) else record.sums))


def _refuse_other_settings(first: ScoredResponse, row: ScoredResponse) -> None:
    ours, theirs = first.record, row.record
    if theirs.settings_hash != ours.settings_hash:
        found = f"{dict(theirs.settings)}, not {dict(ours.settings)}"
    elif theirs.splitter != ours.splitter:
        found = f"{theirs.splitter}, not {ours.splitter}"
    else:
        return
    raise DataError(
        f"scored with other settings than {first.where}",
        where=row.where,
        found=found,
        remedy=_ONE_RUN,
    )


def _refuse_other_numbers(first: ScoredResponse, row: ScoredResponse) -> None:
    _refuse_other_settings(first, row)
    same = (
        row.text == first.text
        and row.correct == first.correct
        and same_numbers(row.record, first.record)
    )
    if not same:
        raise DataError(
            f"sample {row.sample!r} has other numbers, another text or another verdict than at "
            f"{first.where}",
            where=row.where,
            remedy=_ONE_RUN,
        )


def same_numbers(one: StepSums, other: StepSums) -> bool:
    """Whether spans and counts agree, and every number within `TOLERANCE`; NaN agrees with NaN."""
    if (one.spans, one.tokens) != (other.spans, other.tokens):
        return False
    if one.totals.keys() != other.totals.keys() or not _same_statistics(one, other):
        return False
    return all(
        _close(one.totals[window], other.totals[window])
        and _close_lists(one.sums[window], other.sums[window])
        for window in one.totals
    )


def _same_statistics(one: StepSums, other: StepSums) -> bool:
    ours = {**one.step_statistics, **{name: (value,) for name, value in one.statistics.items()}}
    theirs = {
        **other.step_statistics,
        **{name: (value,) for name, value in other.statistics.items()},
    }
    return ours.keys() == theirs.keys() and all(
        _close_lists(values, theirs[name]) for name, values in ours.items()
    )


def _close(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _close_lists(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(_close(a, b) for a, b in zip(one, other, strict=True))


def read_scored_sets(sources: Iterable[str | Path]) -> tuple[ScoredSet, ...]:
    """All scores in the files and folders, one `ScoredSet` per task and student, in that order.

    Raises:
        DataError: no such file, no samples file in a folder, a line that cannot be read, or
            files of one task that do not belong together; names file, line and remedy.
    """
    found = find_samples_files([Path(source) for source in sources])
    runs: dict[tuple[str, str], list[SamplesFile]] = {}
    for file in found.files:
        runs.setdefault((file.task, _folder_name(file.student)), []).append(file)
    return tuple(merge(runs[run], found.left_aside) for run in sorted(runs))


def _folder_name(student: str) -> str:
    # lm-eval writes a model's files to a folder of this name; one file of a run may only have it.
    return re.sub(r"[\"<>:/|\\?*\[\]]+", "__", student)


def read_scored_set(sources: Iterable[str | Path]) -> ScoredSet:
    """The scores of the one task and student that the files and folders hold.

    Raises:
        DataError: as `read_scored_sets`, or they hold several tasks or students.
    """
    sets = read_scored_sets(sources)
    if len(sets) > 1:
        raise DataError(
            "several tasks or students are scored here",
            found=", ".join(f"{scored.task} by {scored.student}" for scored in sets),
            remedy="name the samples file of one of them",
        )
    return sets[0]
