"""Requests with a budget: a race over teachers, run by all ranks together.

Every rank runs the same race on the same records, so that all of them ask for the same responses;
what is asked for is shared out, and each rank gets all records.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lnat_plugins.budget.run import BudgetedRun, Row, Wanted
from lnat_plugins.errors import ConfigError
from lnat_plugins.harness.prompt_scorer import PromptJob, PromptScorer
from lnat_plugins.scoring.parallel import Processes, score_prompts
from lnat_plugins.scoring.progress import TokenBar
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.part import Part
from lnat_plugins.teacher_set.config import Budget

_log = logging.getLogger(f"lm_eval.{__name__}")


def check_shared(processes: Processes, ranks: Processes) -> None:
    """Raises ConfigError if ranks cannot share a race."""
    if processes.count < ranks.count:
        raise ConfigError(
            "a race over teachers needs all ranks, and this splitter cannot be sent to others",
            where="naturalness: budget", remedy="run one process, or install the splitter's plugin",
        )  # fmt: skip


def score_with_budget(
    jobs: Sequence[PromptJob], scorer: PromptScorer, processes: Processes
) -> list[list[StepSums]]:
    """The records of every prompt of one task; those of responses that were not read say why.

    Args:
        jobs: all prompts of the task, alike in every process.

    Raises: as `BudgetedRun`, and as prompts are scored.
    """
    unread = processes.share(range(len(jobs)), lambda own: [scorer.unread(jobs[i]) for i in own])
    places = [(i, k) for i, job in enumerate(jobs) for k in range(len(job.responses))]
    rows = [Row(jobs[i].prompt_id, len(jobs[i].responses[k].text), unread[i][k]) for i, k in places]
    run = BudgetedRun(Budget(**jobs[0].settings["budget"]), rows)
    while wanted := run.wanted():
        run.tell(_read(wanted, places, jobs, scorer, processes))
        if processes.main:
            _log.info("Race: %s", run.result().outcome.sentence)
    found = iter(run.records())
    return [[next(found) for _ in job.responses] for job in jobs]


def _read(
    wanted: Sequence[Wanted], places: Sequence[tuple[int, int]], jobs: Sequence[PromptJob],
    scorer: PromptScorer, processes: Processes,
) -> dict[int, StepSums]:  # fmt: skip
    """Row -> its record."""
    parts: dict[int, dict[int, Part | None]] = {}
    row_of = {}
    for row, part in wanted:
        i, k = places[row]
        parts.setdefault(i, {})[k] = part
        row_of[i, k] = row
    asked = list(parts)
    found = score_prompts(
        [sum(len(jobs[i].responses[k].text) for k in parts[i]) for i in asked],
        lambda n: scorer.prepare_parts(jobs[asked[n]], parts[asked[n]]),
        lambda n, ready: scorer.score_parts(jobs[asked[n]], ready),
        TokenBar(0, scorer.backend, shown=False, announce=_log.info),
        processes,
    )
    return {
        row_of[asked[n], k]: record for n, records in found.items() for k, record in records.items()
    }
