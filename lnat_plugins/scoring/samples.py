"""Scores read back from the samples files that lm-eval's `--log_samples` writes.

A line is one prompt with all its scored responses. Files of one task and student make one
`ScoredSet`; files of different students are never merged.
"""

from __future__ import annotations

import gc
import math
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.formatting import plural
from lnat_plugins.processes import in_processes
from lnat_plugins.scoring.record import ScoredResponse, StepSums, steps_in_words
from lnat_plugins.scoring.samples_files import CUT, SamplesFile, find_files, prefix_of
from lnat_plugins.scoring.samples_lines import read_prompts
from lnat_plugins.steps.prefix import in_words
from lnat_plugins.teacher_set.degenerate import DegenerateCount, count_kinds, degenerate_kinds
from lnat_plugins.teacher_set.prompts import Candidate, Message
from lnat_plugins.teacher_set.unusable import UnusableRows, add

_TOLERANCE: Final = 1e-9  # absolute or relative, of sums that are the same number
_MANY_ROWS: Final = 50_000
"""Responses from which on degenerate ones are looked for in several processes."""
_BATCH: Final = 1_000
_ONE_RUN: Final = "name the files of one run only"


@dataclass(frozen=True)
class ScoredSet:
    """Every scored response of one task by one student, in file order.

    Attributes:
        task: the task's name, from the file name; "unknown" if the file was renamed.
        student: the model's name or path, from `results_*.json` beside the samples file, else
            the name of the folder.
        rows: one per (prompt, teacher, sample).
        prompts: prompt ids in order of first appearance, those without a response included.
        windows: as the settings list them, the first is the default; then those that are recorded
            of every response.
        settings, settings_hash, splitter: as in every row's record.
        paths: the engine paths of the rows, sorted.
        files: the files read, in order.
        skipped: "file: reason" for each samples file that was found but not read.
        duplicates: rows that came again with the same numbers, and were counted once.
        prompts_in_set: of the teacher set; more than `prompts` if only some were scored.
        grown_from: prompts of an older samples file beside one that was read, scored in the same
            way, with fewer prompts; 0 if there is none.
        unusable: teacher -> its rows of the teacher set that could not be used; empty if that is
            not known. "" stands for rows of which no teacher is known.
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
    files: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    duplicates: int = 0
    prompts_in_set: int = 0
    grown_from: int = 0
    unusable: Mapping[str, UnusableRows] = field(default_factory=dict)

    @cached_property
    def degenerate(self) -> dict[str, DegenerateCount]:
        """Teacher -> its degenerate responses."""
        return self._count_degenerate(threading.Event())

    @contextmanager
    def degenerate_meanwhile(self) -> Iterator[Callable[[], dict[str, DegenerateCount]]]:
        """What gives `degenerate`; of many responses they are counted meanwhile, by processes.

        The count is given up where the block ends before.
        """
        if len(self.rows) < _MANY_ROWS or "degenerate" in vars(self):
            yield lambda: self.degenerate
            return
        given_up = threading.Event()
        with ThreadPoolExecutor(1, thread_name_prefix="lnat-degenerate") as thread:
            counted = thread.submit(self._count_degenerate, given_up)
            try:
                yield lambda: vars(self).setdefault("degenerate", counted.result())
            finally:
                given_up.set()

    def _count_degenerate(self, given_up: threading.Event) -> dict[str, DegenerateCount]:
        batches = [self.rows[i : i + _BATCH] for i in range(0, len(self.rows), _BATCH)]
        texts = (
            [
                (row.text, row.candidate.response.extra, row.candidate.messages[-1]["content"])
                for row in rows
            ]
            for rows in batches
        )
        processes = None if len(self.rows) >= _MANY_ROWS else 1

        def kinds() -> Iterator[tuple[str, tuple[str, ...]]]:
            with closing(in_processes(_kinds_of, texts, processes)) as answers:
                for rows, (batch, found) in zip(batches, answers, strict=True):
                    if given_up.is_set():
                        return
                    for row, own in zip(rows, found or _kinds_of(batch), strict=True):
                        yield row.teacher, own

        return count_kinds(kinds())

    @property
    def steps(self) -> str:
        """See `steps_in_words`."""
        return steps_in_words(self.settings, self.splitter)

    @property
    def prefix(self) -> str:
        """The part of each response that was scored, as "512 tokens"; "" = all of it."""
        return str(self.settings.get("prefix", ""))

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
        for teacher in teachers:
            if teacher not in self.teachers:
                raise self._unknown(f"unknown teacher {teacher!r}", teacher, self.teachers)
        rows = tuple(row for row in self.rows if row.teacher in teachers)
        unusable = {t: one for t, one in self.unusable.items() if t in ("", *teachers)}
        return replace(self, rows=rows, unusable=unusable)

    def window(self, name: str | None) -> str:
        """The scored window of that name; by default the first.

        Raises:
            ConfigError: it was not scored.
        """
        if name is None:
            return self.windows[0]
        if name not in self.windows:
            raise self._unknown(f"window {name!r} was not scored", name, self.windows)
        return name

    def _unknown(self, what: str, name: str, known: Sequence[str]) -> ConfigError:
        return ConfigError(what, where=f"task {self.task}", remedy=did_you_mean(name, known))


def _kinds_of(texts: Sequence[tuple[str, Mapping[str, Any], str]]) -> list[tuple[str, ...]]:
    """The kinds of each response, from its text, other columns and prompt."""
    return [degenerate_kinds(text, extra, prompt) for text, extra, prompt in texts]


def scored_set(
    rows: tuple[ScoredResponse, ...], task: str, student: str, prompts: tuple[str, ...]
) -> ScoredSet:
    """The set of these rows, at least one, all scored with the settings of the first."""
    record = rows[0].record
    listed = record.settings.get("windows")
    asked = listed if isinstance(listed, list) else []
    everywhere = [name for name in record.sums if all(name in row.record.sums for row in rows)]
    return ScoredSet(
        task=task,
        student=student,
        rows=rows,
        prompts=prompts,
        windows=tuple(dict.fromkeys([*map(str, asked), *everywhere])),
        settings=record.settings,
        settings_hash=record.settings_hash,
        splitter=record.splitter,
        paths=tuple(sorted({row.record.path for row in rows})),
        prompts_in_set=len(prompts),
    )


def read_scored_sets(sources: Iterable[str | Path]) -> tuple[ScoredSet, ...]:
    """All scores in the files and folders, one `ScoredSet` per task and student, in that order.

    Scores of prefixes make a set of their own, after that of whole responses.

    Raises:
        DataError: no such file, no samples file in a folder, a line that cannot be read, or
            files of one task that do not belong together; names file, line and remedy.
    """
    files, skipped = find_files([Path(source) for source in sources])
    runs: dict[tuple[str, str, str], list[SamplesFile]] = {}
    for file in files:
        # lm-eval names a model's folder like this; one file of a run may have this name only.
        student = re.sub(r"[\"<>:/|\\?*\[\]]+", "__", file.student)
        runs.setdefault((file.task, student, prefix_of(file.path)), []).append(file)
    # Looking for circles among objects that are all kept takes a quarter of the time.
    collected = gc.isenabled()
    gc.disable()
    try:
        return tuple(_merge(runs[run], skipped) for run in sorted(runs))
    finally:
        if collected:
            gc.enable()


def read_scored_set(sources: Iterable[str | Path]) -> ScoredSet:
    """The scores of the one task and student that the files and folders hold.

    Raises:
        DataError: as `read_scored_sets`, or they hold several tasks or students.
    """
    sets = read_scored_sets(sources)
    if len(sets) > 1:
        raise several(sets)
    return sets[0]


def several(sets: Sequence[ScoredSet]) -> DataError:
    """The error where scores are of more tasks than one, or of one task by more students."""
    tasks = dict.fromkeys(scored.task for scored in sets)
    students = dict.fromkeys(scored.student for scored in sets)
    parts = dict.fromkeys(in_words(scored.prefix) or "whole responses" for scored in sets)
    kind, found = (
        ("tasks", tasks) if len(tasks) > 1
        else ("students", students) if len(students) > 1
        else ("parts of the responses", parts)
    )  # fmt: skip
    return DataError(
        f"several {kind} are scored here",
        found=", ".join(found),
        remedy="name the samples files of one of them",
    )


def _merge(files: Sequence[SamplesFile], skipped: tuple[str, ...]) -> ScoredSet:
    """Files of one task and student, in order; a row that comes again is counted once.

    Raises:
        DataError: a file cannot be read, or holds fewer prompts than were scored; prompts, settings
            or splitters differ; or the same (prompt, teacher, sample) has different numbers in two
            files.
    """
    rows: list[ScoredResponse] = []
    prompts: dict[str, tuple[tuple[Message, ...], str, list[int]]] = {}
    duplicates = 0
    cut: list[tuple[SamplesFile, int]] = []
    for file in files:
        lines = 0
        with closing(read_prompts(file.path)) as read:
            for prompt in read:
                lines += 1
                messages, where, own = prompts.setdefault(
                    prompt.prompt_id, (prompt.messages, prompt.where, [])
                )
                if messages != prompt.messages:
                    raise DataError(
                        f"prompt {prompt.prompt_id!r} is another prompt than at {where}",
                        where=prompt.where, remedy="merge files of one teacher set only",
                    )  # fmt: skip
                known = {(rows[i].teacher, rows[i].sample): rows[i] for i in own}
                for response, record in prompt.responses:
                    index = len(rows)
                    candidate = Candidate(index, prompt.prompt_id, messages, response)
                    row = ScoredResponse(candidate, record)
                    first = known.setdefault((row.teacher, row.sample), row)
                    if first is row:
                        own.append(index)
                        rows.append(row)
                    else:
                        duplicates += 1
                        _refuse_other_settings(first, row)
                        _refuse_other_numbers(first, row)
        if lines < file.scored:
            cut.append((file, lines))
    in_set = max(len(prompts), *(file.prompts for file in files))
    for file, lines in cut:
        # what it lacks may stand in another file
        if len(files) == 1 or len(prompts) < in_set:
            raise DataError(
                f"the file holds {plural(lines, 'prompt')}, and the results beside it are of "
                f"{file.scored}",
                where=str(file.path), remedy=CUT,
            )  # fmt: skip
    if not rows:
        raise DataError("no scored response in the samples file", where=str(files[0].path))
    for row in rows:
        _refuse_other_settings(rows[0], row)
    merged = scored_set(tuple(rows), files[0].task, files[0].student, tuple(prompts))
    paths = tuple(str(file.path) for file in files)
    return replace(
        merged, files=paths, skipped=skipped, duplicates=duplicates, prompts_in_set=in_set,
        grown_from=min((file.grown_from for file in files if file.grown_from), default=0),
        unusable=_unusable(files),
    )  # fmt: skip


def _unusable(files: Sequence[SamplesFile]) -> dict[str, UnusableRows]:
    """The counts of the files' teacher sets; files of the same data count once."""
    sets: list[tuple[str, Mapping[str, UnusableRows]]] = []
    for file in files:
        if (file.data, file.unusable) not in sets:
            sets.append((file.data, file.unusable))
    teachers = dict.fromkeys(teacher for _, counts in sets for teacher in counts)
    return {t: add(counts[t] for _, counts in sets if t in counts) for t in teachers}


def _refuse_other_settings(first: ScoredResponse, row: ScoredResponse) -> None:
    ours, theirs = first.record, row.record
    if theirs.settings_hash != ours.settings_hash:
        found = _differing(theirs.settings, ours.settings)
    elif theirs.splitter != ours.splitter:
        found = f"{theirs.splitter}, not {ours.splitter}"
    else:
        return
    what = f"scored with other settings than {first.where}"
    raise DataError(what, where=row.where, found=found, remedy=_ONE_RUN)


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """The settings that differ."""
    names = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    return "; ".join(f"{name}: {theirs.get(name)}, not {ours.get(name)}" for name in names)


def _refuse_other_numbers(first: ScoredResponse, row: ScoredResponse) -> None:
    one, other = first.record, row.record
    ours, theirs = _numbers(one), _numbers(other)
    same = (
        (row.text, row.correct) == (first.text, first.correct)
        and (one.spans, one.tokens) == (other.spans, other.tokens)
        and ours.keys() == theirs.keys()
        and all(_near(values, theirs[name]) for name, values in ours.items())
    )
    if not same:
        raise DataError(
            f"sample {row.sample!r} has other numbers, another text or another verdict than at "
            f"{first.where}",
            where=row.where, remedy=_ONE_RUN,
        )  # fmt: skip


def _numbers(record: StepSums) -> dict[tuple[str, str], tuple[float, ...] | None]:
    found = {("sums", name): values for name, values in record.sums.items()}
    found |= {("step_statistics", name): values for name, values in record.step_statistics.items()}
    found |= {("totals", name): (value,) for name, value in record.totals.items()}
    return found | {("statistics", name): (value,) for name, value in record.statistics.items()}


def _near(ours: tuple[float, ...] | None, theirs: tuple[float, ...] | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return all(
        math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        or (math.isnan(a) and math.isnan(b))
        for a, b in zip(ours, theirs, strict=True)
    )
