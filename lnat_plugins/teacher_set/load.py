"""A teacher set from its definition: sources, rows, layout, join, filters, in that order.

Knows nothing of how any of these is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from lnat_plugins.errors import DataError
from lnat_plugins.steps import SPLITTERS, Splitter, parse_steps
from lnat_plugins.teacher_set.config import DataSpec, TaskSpec
from lnat_plugins.teacher_set.join import join, select
from lnat_plugins.teacher_set.layouts import ParsedResponse, parse_row
from lnat_plugins.teacher_set.loaders import LOADERS, Loader
from lnat_plugins.teacher_set.prompts import Prompt, TeacherSet
from lnat_plugins.teacher_set.sources import read_rows, resolve


def load(
    spec: TaskSpec,
    splitters: Mapping[str, Splitter] = SPLITTERS,
    loaders: Mapping[str, Loader] = LOADERS,
) -> TeacherSet:
    """Read, check, join and filter the rows of a teacher set.

    Args:
        spec: the definition.
        splitters: those that its `steps` may name.
        loaders: those that may read its files.

    Raises ConfigError for the definition, DataError for the data.
    """
    where = f"{spec.data.source}: naturalness: steps"
    kind = parse_steps(spec.settings.steps, where, splitters).kind
    dropped: Counter[str] = Counter()
    prompts = select(join(_read(spec.data, loaders, dropped)), spec.data, dropped)
    if kind == "supplied":
        _require_steps(prompts)
    teachers = dict.fromkeys(r.teacher for prompt in prompts for r in prompt.responses)
    return TeacherSet(
        name=spec.name,
        prompts=tuple(prompts),
        teachers=tuple(teachers),
        dropped=dict(dropped),
        settings=spec.settings,
    )


def _read(
    spec: DataSpec, loaders: Mapping[str, Loader], dropped: Counter[str]
) -> Iterator[ParsedResponse]:
    for source in resolve(spec, loaders):
        for row in read_rows(source, spec, loaders):
            yield from parse_row(row, spec, source.teacher, dropped)


def _require_steps(prompts: list[Prompt]) -> None:
    for prompt in prompts:
        for response in prompt.responses:
            if response.steps is None:
                raise DataError(
                    "`steps: supplied` is set, but this response brings no steps",
                    where=response.where,
                    remedy="add a `steps` column, or set `steps: supplied_or_sentence`",
                )
