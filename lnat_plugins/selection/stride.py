"""The best response of each prompt from a run with a budget that was made for it.

The run has stride scores of all responses, and exact scores of those that may be the best (see
`budget.choice`). Nothing else can be chosen by them: other strategies, metrics and filters need
exact scores of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from lnat_plugins.budget.choice import NAME, Choices
from lnat_plugins.errors import ConfigError
from lnat_plugins.metrics.budgeted import LOCAL_NATURALNESS_STRIDE
from lnat_plugins.selection.base import TIED, Choice, ScoredCandidates
from lnat_plugins.selection.conditions import SPREAD
from lnat_plugins.selection.result import json_value
from lnat_plugins.selection.spec import SelectionSpec
from lnat_plugins.selection.strategies import STRATEGIES

BEST: Final = "best"
_ALLOWED: Final = ("strategy", "metric", "windows", "require_correct", "drop_duplicates", "seed",
                   "resample", "order", "plugins", "where")  # fmt: skip


def check_block(block: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A `selection:` block without its metric, which is `local_naturalness_stride` here.

    Raises:
        ConfigError: a strategy, metric or filter that needs exact scores of all responses.
    """
    given = {name: value for name, value in block.items() if value is not None}
    wrong = {name: value for name, value in given.items() if name not in _ALLOWED}
    wrong |= {
        name: given[name]
        for name, only in (("strategy", BEST), ("metric", NAME), ("order", "random"))
        if given.get(name, only) != only
    }
    for name, value in wrong.items():
        raise _needs_all(name, value, where)
    return {name: value for name, value in block.items() if name != "metric"}


def _needs_all(name: str, value: object, where: str) -> ConfigError:
    return ConfigError(
        f"`{name}` needs exact scores of all responses, and these were read to choose the best "
        "of each prompt",
        where=where, found=f"{name}: {value}",
        remedy="leave it out (`strategy: best` and `require_correct` work), or score without "
        "`budget:`",
    )  # fmt: skip


def by_choices(spec: SelectionSpec, found: Choices) -> SelectionSpec:
    """With the strategy `best` by what the run found, and how far that can be relied on.

    Raises:
        ConfigError: a condition on scores.
    """
    for condition in spec.where:
        if condition.figure == SPREAD:
            raise _needs_all("where", condition, spec.source)

    def choose(candidates: ScoredCandidates) -> Choice:
        positions: list[int] = []
        reasons: dict[int, str] = {}
        ties = 0
        for group in candidates.by_prompt:
            position_of = {candidates.rows[position].index: position for position in group}
            best = [position_of[index] for index in found.best(list(position_of))]
            positions += best[:1]
            reasons |= dict.fromkeys(best[1:], TIED)
            ties += len(best) > 1
        return Choice(tuple(positions), reasons=reasons, ties=ties)

    pilot = found.pilot
    choice = {
        "found": found.sentence, "pilot_prompts": pilot.prompts, "pilot_same": pilot.same,
        "margin": pilot.margin, "error": pilot.error,
        "tokens_of_exact": found.tokens / found.exact_tokens,
        "tokens_of_global": found.tokens / found.global_tokens,
    }  # fmt: skip
    metric = LOCAL_NATURALNESS_STRIDE
    written = {
        **spec.written,
        "metric": metric.name,
        "window": found.stride,
        "choice": json_value(choice),
    }
    return replace(
        spec, strategy=replace(STRATEGIES[BEST], choose=choose), metric=metric,
        window=found.stride, written=written,
    )  # fmt: skip
