"""Candidates with their scores in them, selections by hand, and a student that counts calls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from lnat_plugins.metrics import METRICS, Metric
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.selection import (
    Choice,
    ScoredCandidates,
    Selection,
    SelectionSpec,
    choose,
    parse_selection,
)
from lnat_plugins.selection.cards import Provenance
from lnat_plugins.selection.strategies import STRATEGIES
from lnat_plugins.teacher_set import Candidate, Candidates, Response
from tests.helpers_samples import record_of

LOWER = Metric(
    of_prefix=True,
    name="mean_nll",
    higher_is_better=False,
    scope="response",
    unit="nats per token",
    source="for tests",
    aggregate="mean",
    compute=lambda record, window: -METRICS["local_naturalness"].of(record, window),
    reads="window",
)
KNOWN: Mapping[str, Metric] = MappingProxyType({**METRICS, LOWER.name: LOWER})


def pool_of(*rows: Candidate) -> Candidates:
    """The rows, numbered in order."""
    return Candidates(
        tuple(
            Candidate(index, row.prompt_id, row.messages, row.response)
            for index, row in enumerate(rows)
        )
    )


def row(
    prompt_id: str,
    teacher: str,
    score: float = 0.0,
    *,
    tokens: int = 10,
    text: str | None = None,
    correct: bool | None = None,
    sample: int = 0,
) -> Candidate:
    """A row that brings its own score (of local naturalness) and length."""
    text = f"{teacher} {sample} on {prompt_id}" if text is None else text
    extra = {"score": score, "tokens": tokens}
    response = Response(teacher, text, sample, correct, extra=extra, where=f"rows of {teacher}")
    return Candidate(0, prompt_id, ({"role": "user", "content": prompt_id},), response)


def table(scores: Mapping[str, Sequence[float | None]]) -> Candidates:
    """teacher -> a score per prompt (p0, p1, ...), None = no such row; prompt by prompt."""
    n_prompts = len(next(iter(scores.values())))
    return pool_of(
        *(
            row(f"p{i}", teacher, score)
            for i in range(n_prompts)
            for teacher, values in scores.items()
            if (score := values[i]) is not None
        )
    )


@dataclass
class FakeStudent:
    """Answers from the rows themselves; records the indices of each call.

    Training reads five tokens more than the response.
    """

    name: str = "org/student"
    scored: list[list[int]] = field(default_factory=list)
    measured: list[list[int]] = field(default_factory=list)
    read: list[list[int]] = field(default_factory=list)

    def score(self, rows: Sequence[Candidate]) -> list[StepSums]:
        self.scored.append([row.index for row in rows])
        return [
            record_of(row.teacher, row.response.extra["score"], tokens=row.response.extra["tokens"])
            for row in rows
        ]

    def training_notes(self, rows: Sequence[Candidate]) -> dict[str, int]:
        return {}

    def response_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        self.measured.append([row.index for row in rows])
        return [row.response.extra["tokens"] for row in rows]

    def training_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        self.read.append([row.index for row in rows])
        return [row.response.extra["tokens"] + 5 for row in rows]


def spec_of(**block: Any) -> SelectionSpec:
    return parse_selection(
        block, metrics=KNOWN, strategies=STRATEGIES, source="sft.yaml: selection"
    )


def select(pool: Candidates, student: FakeStudent | None = None, **block: Any) -> Selection:
    """The block's choice; every selection made here is checked as a stored one would be."""
    selection = choose(pool, student or FakeStudent(), spec_of(**block))
    assert selection.problem() == ""
    return selection


def scored_candidates_of(
    pool: Candidates, strategy: str, *, seed: int = 1234, **written: Any
) -> ScoredCandidates:
    """All candidates, with the options as a block would have them."""
    options = {
        name: option.parse(written[name]) if name in written else option.default
        for name, option in STRATEGIES[strategy].options.items()
    }
    return ScoredCandidates(
        rows=pool.rows,
        scores=np.array([row.response.extra["score"] for row in pool.rows], dtype=np.float64),
        tokens=np.array([row.response.extra["tokens"] for row in pool.rows], dtype=np.int64),
        options=options,
        seed=seed,
    )


def run(pool: Candidates, strategy: str, *, seed: int = 1234, **written: Any) -> Choice:
    """What the strategy itself answers."""
    return STRATEGIES[strategy].choose(scored_candidates_of(pool, strategy, seed=seed, **written))


def names(pool: Candidates, positions: Sequence[int]) -> list[str]:
    """ "p0 A" for each row, in the order of the candidates."""
    return [f"{pool.rows[i].prompt_id} {pool.rows[i].teacher}" for i in sorted(positions)]


def total(pool: Candidates, positions: Sequence[int]) -> float:
    return math.fsum(pool.rows[i].response.extra["score"] for i in positions)


TEXTS = ("First. Wait.", "<think>\nSecond.\n</think>\n\nDone.", "结果是七！", "Third\u2028one ")
TEACHERS = ("QwQ", "R1")
PROVENANCE = Provenance(
    task="sums",
    files=("out/org__student/samples_sums_2025.jsonl",),
    scoring={"settings": {"steps": "sentence"}, "splitter": "sentence@1"},
    versions={"lnat_plugins": "0.0.9", "torch": "2.13"},
)


def four_rows(
    extras: Sequence[Mapping[str, Any]] | None = None,
    *,
    plain: bool = False,
    samples: Sequence[int | str] = (),
    correct: Sequence[bool | None] = (),
    roles: Sequence[str] = ("system", "user"),
) -> Candidates:
    """Four rows, two prompts with two teachers; or as many as there are extras."""
    rows = []
    for i in range(len(extras) if extras is not None else 4):
        question = f"What is {i // 2}? \n\n"
        turns = [{"role": role, "content": question} for role in (["user"] if plain else roles)]
        response = Response(
            teacher=TEACHERS[i % 2],
            text=TEXTS[i % 4],
            sample=samples[i] if samples else 0,
            correct=correct[i] if correct else None,
            extra=extras[i] if extras is not None else {},
            where=f"x.jsonl line {i}",
        )
        rows.append(Candidate(i, f"p{i // 2}", tuple(turns), response))
    return Candidates(tuple(rows), plain)


def selection_of(pool: Candidates, chosen: Sequence[int] = (1, 2), **changes: Any) -> Selection:
    """Those rows, by local naturalness; the others have lost. Row i scores -i, row 2 nothing."""
    size = len(pool.rows)
    found: dict[str, Any] = {
        "indices": tuple(chosen),
        "weights": (1.0,) * len(chosen),
        "scores": tuple(math.nan if i == 2 else -float(i) for i in range(size)),
        "reasons": {
            i: "another response scored higher: by 1" for i in range(size) if i not in chosen
        },
        "teachers": tuple(row.teacher for row in pool.rows),
        "prompts": tuple(row.prompt_id for row in pool.rows),
        "strategy": "best",
        "metric": "local_naturalness",
        "window": "4",
        "higher_is_better": True,
        "settings": {"strategy": "best"},
        "pool": pool.fingerprint,
        "student": "org/student",
    }
    return Selection(**found | changes)
