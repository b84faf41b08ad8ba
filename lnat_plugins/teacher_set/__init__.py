"""Teacher sets: prompts, each with responses from several teachers, read from data.

`load` reads what a definition names: sources → rows → layout → join → filters. Every row that
cannot be used is one DataError that names file, row and field, and every response dropped is
counted with its reason. Nothing here knows of tokens, models, hosts or plugins: splitters and
loaders are given by the caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from lnat_plugins.errors import DataError
from lnat_plugins.steps import SPLITTERS, Splitter, parse_steps
from lnat_plugins.teacher_set.batch import BatchPrompt, read_prompts
from lnat_plugins.teacher_set.config import DataSpec, TaskSpec
from lnat_plugins.teacher_set.join import join, select
from lnat_plugins.teacher_set.layouts import RowReader
from lnat_plugins.teacher_set.loaders import LOADERS, Loader, Row
from lnat_plugins.teacher_set.notes import reading_notes
from lnat_plugins.teacher_set.prompts import Candidate, Candidates, Prompt, Response, TeacherSet
from lnat_plugins.teacher_set.sources import read_rows, resolve

__all__ = [
    "LOADERS", "Candidate", "Candidates", "Loader", "Prompt", "Response", "Row", "TeacherSet",
    "load",
]  # fmt: skip


def load(
    spec: TaskSpec,
    splitters: Mapping[str, Splitter] = SPLITTERS,
    loaders: Mapping[str, Loader] = LOADERS,
) -> TeacherSet:
    """Read, check, join and filter the rows of a teacher set.

    `splitters` are those that its `steps` may name, `loaders` those that may read its files.

    Raises ConfigError for the definition, DataError for the data.
    """
    data = spec.data
    kind = parse_steps(spec.settings.steps, f"{data.source}: naturalness: steps", splitters).kind
    dropped: Counter[str] = Counter()
    reader = RowReader(data, dropped, _batch_prompts(data, loaders))
    parsed = (
        response
        for source in resolve(data, loaders)
        for row in read_rows(source, data, loaders)
        for response in reader.read(row, source.teacher)
    )
    prompts = select(join(parsed), data, dropped)
    responses = [response for prompt in prompts for response in prompt.responses]
    for response in responses if kind == "supplied" else ():
        if response.steps is None:
            raise DataError(
                "`steps: supplied` is set, but this response has no steps", where=response.where,
                remedy="add a `steps` column, or set `steps: supplied_or_sentence`",
            )  # fmt: skip
    return TeacherSet(
        name=spec.name,
        prompts=tuple(prompts),
        teachers=tuple(dict.fromkeys(response.teacher for response in responses)),
        dropped=dict(dropped),
        settings=spec.settings,
        tokens=spec.tokens,
        sensitivity=spec.sensitivity,
        columns={part: tuple(columns) for part, columns in reader.used.items()},
        notes=reading_notes(prompts, data.columns),
    )


def _batch_prompts(data: DataSpec, loaders: Mapping[str, Loader]) -> dict[str, BatchPrompt]:
    if not data.prompts:
        return {}
    files = replace(data, dataset_path=data.prompts, teacher_from="column")
    sources = resolve(files, loaders, key="naturalness: prompts")
    return read_prompts(row for one in sources for row in read_rows(one, files, loaders))
