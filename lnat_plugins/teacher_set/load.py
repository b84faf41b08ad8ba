"""A teacher set from its definition: sources, rows, layout, join, filters, in that order.

Knows nothing of how any of these is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lnat_plugins.config import DataSpec, TaskSpec, parse_task, read_yaml
from lnat_plugins.errors import DataError
from lnat_plugins.steps import parse_steps
from lnat_plugins.teacher_set.gather import join, select
from lnat_plugins.teacher_set.layouts import Candidate, candidates
from lnat_plugins.teacher_set.prompts import Prompt, TeacherSet
from lnat_plugins.teacher_set.sources import read_rows, resolve


def load_teacher_set(source: str | Path | Mapping[str, Any]) -> TeacherSet:
    """Read a teacher set from its YAML, or from a dictionary of the same keys.

    Data paths are relative to the YAML's folder; in a dictionary, to the working
    directory. Raises ConfigError for the definition, DataError for the data.
    """
    if isinstance(source, Mapping):
        return load(parse_task(source))
    return load(parse_task(read_yaml(source), source))


def load(spec: TaskSpec) -> TeacherSet:
    """Read, check, join and filter the rows of a teacher set."""
    kind = parse_steps(spec.settings.steps, f"{spec.data.source}: naturalness: steps").kind
    dropped: Counter[str] = Counter()
    prompts = select(join(_read(spec.data, dropped)), spec.data, dropped)
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


def _read(spec: DataSpec, dropped: Counter[str]) -> Iterator[Candidate]:
    for source in resolve(spec):
        for row in read_rows(source, spec):
            yield from candidates(row, spec, source.teacher, dropped)


def _require_steps(prompts: list[Prompt]) -> None:
    for prompt in prompts:
        for response in prompt.responses:
            if response.steps is None:
                raise DataError(
                    "`steps: supplied` is set, but this response brings no steps",
                    where=response.where,
                    remedy="add a `steps` column, or set `steps: supplied_or_sentence`",
                )
