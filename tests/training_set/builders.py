"""Small pools and selections made by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lnat_plugins.selection import Candidate, Candidates, Selection
from lnat_plugins.selection.cards import Origin
from lnat_plugins.teacher_set import Response

TEXTS = ("First. Wait.", "<think>\nSecond.\n</think>\n\nDone.", "结果是七！", "Third\u2028one ")
TEACHERS = ("QwQ", "R1")
ORIGIN = Origin(
    task="sums",
    files=("out/org__student/samples_sums_2025.jsonl",),
    scoring={"settings": {"steps": "sentence"}, "splitter": "sentence@1"},
    versions={"lnat_plugins": "0.0.9", "torch": "2.13"},
)


def pool_of(
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
        asked = f"What is {i // 2}? \n\n"
        turns = [{"role": role, "content": asked} for role in (["user"] if plain else roles)]
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
