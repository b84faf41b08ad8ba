"""What a run with a budget says of its teachers: the race, replayed from the records it left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lnat_plugins.budget.choice import only_a_choice
from lnat_plugins.budget.estimator import Means, mean_over_traces
from lnat_plugins.budget.records import estimate_of
from lnat_plugins.budget.run import Raced, Row, replay
from lnat_plugins.errors import DataError
from lnat_plugins.formatting import join_blocks, markdown_table, number, plain, plural
from lnat_plugins.scoring.chat import rendering_in_words
from lnat_plugins.scoring.samples import ScoredSet
from lnat_plugins.teacher_set.config import Budget

NAME = "local_naturalness_sampled"


@dataclass(frozen=True)
class RacedTeacher:
    """One teacher of a race.

    Attributes:
        estimate: of its mean over the prompts that were read of it.
        prompts: so many.
        left: "best", "top 3", "placed", "dropped after 35 prompts", or "not settled".
        against: the teachers that decided it.
    """

    teacher: str
    estimate: Means
    prompts: int
    left: str
    against: tuple[str, ...]


@dataclass(frozen=True)
class RacedRanking:
    """Teachers of one task for one student, as far as the budget settled them.

    Attributes:
        scored: the rows, and how they were scored.
        raced: the race.
        teachers: those chosen first, then those not settled, then the others, the last that left
            first.
    """

    scored: ScoredSet
    raced: Raced
    teachers: tuple[RacedTeacher, ...]

    @property
    def verdict(self) -> str:
        """What was settled, what it took, and how the responses were read."""
        plan = self.raced.plan
        return f"{self.raced.outcome.sentence}." + ("" if plan is None else f" {plan.sentence}.")

    def to_markdown(self, *, brief: bool = False) -> str:
        """The text of `lnat rank`."""
        scored = self.scored
        title = [
            f"task: {scored.task}, student: {scored.student}, budget: error "
            f"{self.raced.outcome.error:g}",
            f"steps: {scored.steps}, window: {scored.settings['windows'][0]}, engine: "
            f"{','.join(scored.paths)}, settings: {scored.settings_hash}",
        ]
        if rendering := rendering_in_words(scored.settings):
            title.append(f"rendering: {rendering}")
        title.append(f"metric: {NAME} (nats per token, higher is better)")
        rows = [
            [
                one.teacher, number(one.estimate.mean, 4), number(one.estimate.error, 4),
                str(one.prompts), one.left, ", ".join(one.against),
            ]
            for one in self.teachers
        ]  # fmt: skip
        headers = ["Teacher", "Estimate ↑", "Standard error", "Prompts", "Settled", "Against"]
        table = markdown_table(headers, rows, left=1)
        notes = [
            "Estimates of teachers that left at different times are over different prompts: only "
            "the verdict compares them.",
        ]
        outcome = self.raced.outcome
        if self.raced.incomplete:
            notes.append(
                f"{plural(self.raced.incomplete, 'prompt')} without a response of every teacher "
                "took no part."
            )
        if outcome.left_out:
            counts = ", ".join(f"{name} {n}" for name, n in outcome.undefined.items())
            notes.append(
                f"{plural(outcome.left_out, 'prompt')} read and not compared, because a response "
                f"has no score ({counts})."
            )
        return join_blocks(*([] if brief else [title]), [self.verdict], table, notes)

    def as_dict(self) -> dict[str, Any]:
        """One entry of `ranking.json`: plain JSON values, NaN as None."""
        scored = self.scored
        return {
            "task": scored.task,
            "student": scored.student,
            "settings": dict(scored.settings),
            "settings_hash": scored.settings_hash,
            "files": list(scored.files),
            "verdict": self.verdict,
            "race": plain(self.raced),
            "teachers": [plain(one) for one in self.teachers],
        }


def raced(scored: ScoredSet) -> RacedRanking:
    """Replay the race of a run with a budget.

    Raises:
        DataError: the samples have no budget, or records are missing.
        ConfigError: the budget was for a choice of responses.
    """
    if not scored.settings.get("budget"):
        raise DataError(
            "these scores were made without a budget", where=f"task {scored.task}",
            remedy="rank them: `Scores.rank`, `lnat rank`",
        )  # fmt: skip
    budget = Budget(**scored.settings["budget"])
    if budget.of_choice:
        raise only_a_choice(scored.task)
    rows = [Row(row.prompt_id, len(row.text), row.record) for row in scored.rows]
    found = replay(budget, rows)
    return RacedRanking(scored, found, _teachers(rows, found))


def _teachers(rows: Sequence[Row], found: Raced) -> tuple[RacedTeacher, ...]:
    outcome = found.outcome
    by_teacher: dict[str, dict[str, list[Row]]] = {name: {} for name in found.prompts}
    for row in rows:
        by_teacher[row.record.teacher].setdefault(row.prompt_id, []).append(row)
    placed = {one.teacher: one for one in outcome.placed}
    out = [one.teacher for one in reversed(outcome.placed) if one.teacher not in outcome.chosen]
    teachers = []
    for name in (*outcome.chosen, *outcome.remaining, *out):
        estimates = [estimate_of(row.record) for of in by_teacher[name].values() for row in of]
        known = [one for one in estimates if math.isfinite(one.mean)]
        if name in outcome.remaining:
            left = "not settled"
        elif name in outcome.chosen:
            left = {"best": "best", "order": "placed"}.get(outcome.goal, outcome.goal)
        else:
            left = f"dropped after {placed[name].prompts} prompts"
        against = placed[name].against if name in placed and name not in outcome.chosen else ()
        teachers.append(
            RacedTeacher(name, mean_over_traces(known), found.prompts[name], left, against)
        )
    return tuple(teachers)
