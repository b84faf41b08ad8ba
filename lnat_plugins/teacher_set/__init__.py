"""Teacher sets: prompts, each with responses from several teachers, read from data.

`load` reads what a definition names: sources → rows → `where` → layout → join → filters. A row that
cannot be used is left out and counted by teacher and reason, as is every response that a filter
drops. Nothing here knows of tokens, models, hosts or plugins: splitters and
loaders are given by the caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace

from lnat_plugins.errors import DataError
from lnat_plugins.steps import SPLITTERS, Splitter, parse_steps
from lnat_plugins.teacher_set.batch import BatchPrompt, read_prompts
from lnat_plugins.teacher_set.config import DataSpec, TaskSpec
from lnat_plugins.teacher_set.formats import LOADERS
from lnat_plugins.teacher_set.join import join, select
from lnat_plugins.teacher_set.layouts import RowReader
from lnat_plugins.teacher_set.loaders import Loader, Row
from lnat_plugins.teacher_set.notes import reading_notes
from lnat_plugins.teacher_set.prompts import Candidate, Candidates, Prompt, Response, TeacherSet
from lnat_plugins.teacher_set.responses import ParsedResponse
from lnat_plugins.teacher_set.row_filter import RowFilter
from lnat_plugins.teacher_set.sources import Source, read_rows, resolve
from lnat_plugins.teacher_set.template_columns import fill_template_arguments
from lnat_plugins.teacher_set.unusable import Tally, UnusableRows
from lnat_plugins.teacher_set.whole_conversations import join_openings, read_tools

__all__ = [
    "LOADERS", "Candidate", "Candidates", "Loader", "Prompt", "Response", "Row", "TeacherSet",
    "UnusableRows", "load",
]  # fmt: skip


def load(
    spec: TaskSpec,
    splitters: Mapping[str, Splitter] = SPLITTERS,
    loaders: Mapping[str, Loader] = LOADERS,
    *,
    strict: bool = False,
) -> TeacherSet:
    """Read, check, join and filter the rows of a teacher set.

    `splitters` are those that its `steps` may name, `loaders` those that may read its files.
    `strict`: a row that cannot be used is an error.

    Raises ConfigError for the definition, DataError for the data: a file that cannot be read, a
    column that every row lacks, rows that contradict each other, a set without a usable row.
    """
    data = spec.data
    kind = parse_steps(spec.settings.steps, f"{data.source}: naturalness: steps", splitters).kind
    tally = Tally(strict=strict)
    filtered: Counter[str] = Counter()
    sources = resolve(data, loaders)
    row_filter = RowFilter(data.where, data.source)
    rows = _kept_rows(sources, data, loaders, row_filter, tally, filtered)
    reader = RowReader(data, tally, _batch_prompts(data, loaders, tally))
    parsed = _parsed(rows, reader, kind == "supplied")
    if data.turns == "all":
        parsed = join_openings(_with_tools(parsed, data), data.system)
    joined = join(parsed)
    row_filter.refuse_absent()
    if not joined:
        tally.refuse_nothing()
        raise DataError(
            "`where` leaves no row", where=data.source, found=filtered.total(),
            remedy="loosen it: " + "; ".join(filtered),
        )  # fmt: skip
    used = Counter(response.teacher for prompt in joined for response in prompt.responses)
    named = data.columns["responses"] if data.layout == "wide" else [s.teacher for s in sources]
    tally.refuse_missing_columns(used, filter(None, named))
    dropped = tally.by_reason() + filtered
    selected, near_equal = select(joined, data, dropped)
    prompts, filled = fill_template_arguments(selected)
    responses = [response for prompt in prompts for response in prompt.responses]
    unusable = tally.by_teacher(used)
    if data.teachers is not None:
        unusable = {t: one for t, one in unusable.items() if t in ("", *data.teachers)}
    return TeacherSet(
        name=spec.name,
        prompts=tuple(prompts),
        teachers=tuple(dict.fromkeys(response.teacher for response in responses)),
        dropped=dict(dropped),
        settings=spec.settings,
        tokens=spec.tokens,
        sensitivity=spec.sensitivity,
        unusable=unusable,
        near_equal=near_equal,
        columns={part: tuple(columns) for part, columns in reader.used.items()},
        notes=(*reading_notes(prompts, data.columns), *([filled] if filled else [])),
    )


def _with_tools(rows: Iterable[ParsedResponse], data: DataSpec) -> Iterator[ParsedResponse]:
    """The responses with the tools of the set's own file, where it names one."""
    tools = read_tools(data.base_dir / data.tools) if data.tools else None
    for row in rows:
        extra = row.response.extra if tools is None else {**row.response.extra, "tools": tools}
        yield row._replace(response=replace(row.response, extra=extra))


def _batch_prompts(
    data: DataSpec, loaders: Mapping[str, Loader], tally: Tally
) -> dict[str, BatchPrompt]:
    if not data.prompts:
        return {}
    files = replace(data, dataset_path=data.prompts, teacher_from="column")
    sources = resolve(files, loaders, key="naturalness: prompts")
    rows = (row for one in sources for row in read_rows(one, files, loaders))
    with closing(rows):  # an error between two rows leaves no file open
        return read_prompts(rows, tally)


def _kept_rows(
    sources: Iterable[Source],
    data: DataSpec,
    loaders: Mapping[str, Loader],
    row_filter: RowFilter,
    tally: Tally,
    filtered: Counter[str],
) -> Iterator[tuple[Row, str | None]]:
    """The rows that can be read and that `where` keeps, each with the teacher of its file."""
    for source in sources:
        for row in read_rows(source, data, loaders):
            try:
                if isinstance(row, DataError):
                    raise row
                reason = row_filter.reason_against(row) if data.where else None
            except DataError as error:
                tally.leave_out(source.teacher or "", error)
                continue
            if reason:
                filtered[reason] += 1
            else:
                yield row, source.teacher


def _parsed(
    rows: Iterable[tuple[Row, str | None]], reader: RowReader, needs_steps: bool
) -> Iterator[ParsedResponse]:
    """The responses that can be used."""
    for row, of_file in rows:
        try:
            parsed = reader.read(row, of_file)
        except DataError as error:
            for teacher in reader.writers(row, of_file):
                reader.tally.leave_out(teacher, error)
            continue
        for one in parsed:
            response = one.response
            if needs_steps and response.steps is None:
                no_steps = DataError(
                    "`steps: supplied` is set, but this response has no steps",
                    where=response.where,
                    remedy="add a `steps` column, or set `steps: supplied_or_sentence`",
                )
                reader.tally.leave_out(response.teacher, no_steps)
            else:
                yield one
