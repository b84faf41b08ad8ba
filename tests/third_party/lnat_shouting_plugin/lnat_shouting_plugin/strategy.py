"""The strategy `best_quiet`: the best response of each prompt that does not shout."""

from __future__ import annotations

from typing import Any

from lnat_plugins import Strategy
from lnat_plugins.selection import Choice, Option, ScoredCandidates


def choose_quiet(candidates: ScoredCandidates) -> Choice:
    """Of each prompt's responses with at most `max_shouts` "!", the one that scored best."""
    chosen: list[int] = []
    reasons: dict[int, str] = {}
    ties = 0
    for positions in candidates.by_prompt:
        quiet: list[int] = []
        for position in positions:
            shouts = candidates.rows[position].text.count("!")
            if shouts <= candidates.options["max_shouts"]:
                quiet.append(position)
            else:
                reasons[position] = f"too loud: {shouts} exclamation marks"
        if quiet:
            best = max(quiet, key=lambda position: candidates.scores[position])
            equal = [p for p in quiet if candidates.scores[p] == candidates.scores[best]]
            ties += len(equal) > 1
            chosen.append(best)
    return Choice(tuple(chosen), reasons=reasons, ties=ties)


def whole_number(value: Any) -> int:
    """The text of the ValueError says what is allowed."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a whole number, 0 or more")
    return value


STRATEGY = Strategy(
    name="best_quiet",
    description="the best-scored response of each prompt that does not shout",
    choose=choose_quiet,
    default_reason="another quiet response scored higher",
    needs=frozenset({"scores"}),
    options={"max_shouts": Option(whole_number, 0, "exclamation marks that are let pass")},
)
