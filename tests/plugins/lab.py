"""Entries, plugins and pools for the tests of plugins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lnat_plugins import Candidate, Loader, Metric, Selection, Splitter, Strategy, hookimpl
from lnat_plugins.plugins import load_plugins
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.selection import Choice, SelectionSpec, parse_selection
from lnat_plugins.teacher_set import Candidates, Response
from tests.helpers_samples import record_of


def splitter(**fields: Any) -> Splitter:
    """One step a text."""
    return Splitter(**{"name": "whole", "version": "1", "split": lambda t: [(0, len(t))], **fields})


def metric(**fields: Any) -> Metric:
    """The number of tokens, taken for good."""
    return Metric(
        **{
            "name": "longer",
            "higher_is_better": True,
            "scope": "response",
            "unit": "tokens",
            "source": "a test",
            "aggregate": "mean",
            "compute": lambda record, window: record.n_tokens,
            "reads": "counts",
            **fields,
        }
    )


def strategy(**fields: Any) -> Strategy:
    """The first row."""
    return Strategy(
        **{
            "name": "first",
            "description": "the first row",
            "choose": lambda candidates: Choice((0,)),
            "default_reason": "not the first row",
            **fields,
        }
    )


def loader(**fields: Any) -> Loader:
    """No rows."""
    return Loader(
        **{"name": "none", "suffixes": (".none",), "read": lambda path, shown: [], **fields}
    )


class Registers:
    """A plugin that adds what it is given: `Registers(metric=...)`."""

    def __init__(self, **entries: Any) -> None:
        self.entries = entries

    @hookimpl
    def lnat_register(self, registry: Any) -> None:
        for kind, entry in self.entries.items():
            getattr(registry, f"add_{kind}")(entry)


ROWS = tuple(
    Candidate(
        i,
        f"p{i // 2}",
        ({"role": "user", "content": "What?"},),
        Response(teacher, text, where=f"rows.jsonl row {i + 1}"),
    )
    for i, (teacher, text) in enumerate(
        [("QwQ", "So 3! It is 3!"), ("R1", "Three."), ("QwQ", "Four!"), ("R1", "It is four.")]
    )
)
POOL = Candidates(ROWS)


class Student:
    """Scores rows by a table: higher is better, in nats per token."""

    name = "a student"

    def __init__(self, values: Sequence[float] = (-1.0, -2.0, -3.0, -4.0)) -> None:
        self.values = values

    def score(self, rows: Sequence[Candidate]) -> list[StepSums]:
        return [record_of(row.teacher, self.values[row.index]) for row in rows]

    def training_notes(self, rows: Sequence[Candidate]) -> dict[str, int]:
        return {}

    def response_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        return [len(row.text.split()) for row in rows]

    def training_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        return [5 + len(row.text.split()) for row in rows]


def spec(**block: Any) -> SelectionSpec:
    """A selection block with the built-in names."""
    registry = load_plugins().registry
    return parse_selection(block, metrics=registry.metrics, strategies=registry.strategies)


def chosen(*indices: int, pool: Candidates = POOL) -> Selection:
    """A selection of those rows, as a plugin that decides would give it."""
    size, wanted = len(pool.rows), set(indices)
    return Selection(
        indices=indices,
        weights=(1.0,) * len(indices),
        scores=(0.0,) * size,
        reasons={i: "not wanted" for i in range(size) if i not in wanted},
        teachers=tuple(row.teacher for row in pool.rows),
        prompts=tuple(row.prompt_id for row in pool.rows),
        strategy="by hand",
        pool=pool.fingerprint,
    )


def write(path: Path, text: str) -> Path:
    """A Python file with the usual import above the text."""
    path.write_text(f"from lnat_plugins import hookimpl\n{text}", encoding="utf-8")
    return path


def write_package(folder: Path, name: str, text: str, version: str = "1.0") -> None:
    """An installed package of one module, with one entry point, by hand."""
    module = name.replace("-", "_")
    write(folder / f"{module}.py", text)
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[lnat_plugins]\nmine = {module}\n")
