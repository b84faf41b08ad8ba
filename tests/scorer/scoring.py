"""A scorer with the usual settings, and a response of many unequal steps."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from lnat_plugins.engine.engine import Engine
from lnat_plugins.scoring.backend import Backend, EngineBackend
from lnat_plugins.scoring.scorer import Scorer
from lnat_plugins.steps import parse_steps
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set.config import Settings

LONG = (
    "First step. Second step is a longer one, with 3 + 4 = 7 in it. Wait.\n\n"
    "Third one: done. So 3 + 4 = 7. Wait, is that so? Yes. Now the next one.\n"
    "Well. First, the sum of three and four. Second, seven. Done.\n\nThe answer: 7."
)


def scorer_of(
    model: Any,
    tokenizer: Any,
    windows: tuple[str, ...] = ("4", "global"),
    steps: str = "sentence",
    max_length: int | None = None,
    backend: Backend | None = None,
    statistics: Collection[str] = (),
) -> Scorer:
    """A scorer over our engine, or over the back end that is given."""
    return Scorer(
        tokenizer=tokenizer,
        backend=backend or EngineBackend(Engine(model)),
        spec=parse_steps(steps),
        windows=parse_windows(windows),
        settings=Settings(steps, windows).as_dict(),
        max_length=max_length,
        statistics=frozenset(statistics),
    )
