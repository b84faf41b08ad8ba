"""Requests with a budget: a race over teachers or a choice of responses, by all ranks together.

Every rank does the same on the same records, so that all of them ask for the same responses; what
is asked for is shared out, and each rank gets all records.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lnat_plugins.budget.choice import run_of
from lnat_plugins.budget.records import tokens_of
from lnat_plugins.budget.run import Row, Wanted
from lnat_plugins.errors import ConfigError, StudentError, visible
from lnat_plugins.harness.prompt_scorer import PromptJob, PromptScorer
from lnat_plugins.scoring.parallel import Processes, groups_of, score_prompts
from lnat_plugins.scoring.part import Part
from lnat_plugins.scoring.progress import TokenBar
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set.config import Budget

_log = logging.getLogger(f"lm_eval.{__name__}")


def check_shared(processes: Processes, ranks: Processes) -> None:
    """Raises ConfigError if ranks cannot share what is read."""
    if processes.count < ranks.count:
        raise ConfigError(
            "a run with a budget needs all ranks, and this splitter cannot be sent to others",
            where="naturalness: budget", remedy="run one process, or install the splitter's plugin",
        )  # fmt: skip


def score_with_budget(
    jobs: Sequence[PromptJob], scorer: PromptScorer, processes: Processes
) -> list[list[StepSums]]:
    """The records of every prompt of one task; those of responses that were not read say why.

    Args:
        jobs: all prompts of the task, alike in every process.

    Raises:
        StudentError: a choice, and a back end whose steps do not share runs.

    Else as `BudgetedRun` and `ChoiceRun`, and as prompts are scored.
    """
    budget = Budget(**jobs[0].settings["budget"])
    if budget.of_choice and not scorer.backend.shares_runs:
        raise StudentError(
            "this back end reads every step by itself, so that a stride would cost more than it "
            "saves",
            where="naturalness: budget", found="goal: choice",
            remedy="score with `--model hf`, or leave out the budget",
        )  # fmt: skip
    unread = processes.share(range(len(jobs)), lambda own: [scorer.unread(jobs[i]) for i in own])
    places = [(i, k) for i, job in enumerate(jobs) for k in range(len(job.responses))]
    rows = []
    for i, k in places:
        response = jobs[i].responses[k]
        rows.append(Row(jobs[i].prompt_id, len(response.text), unread[i][k], response.correct))
    run = run_of(budget, rows)
    said = ""
    while wanted := run.wanted():
        run.tell(_read(wanted, rows, places, jobs, scorer, processes))
        if processes.main and run.news != said:
            said = run.news
            _log.info("Budget: %s", visible(run.sentence))
    found = iter(run.records())
    return [[next(found) for _ in job.responses] for job in jobs]


def _read(
    wanted: Sequence[Wanted], rows: Sequence[Row], places: Sequence[tuple[int, int]],
    jobs: Sequence[PromptJob], scorer: PromptScorer, processes: Processes,
) -> dict[int, StepSums]:  # fmt: skip
    """Row -> its record."""
    parts: dict[int, dict[int, Part]] = {}
    row_of = {}
    tokens: dict[int, int] = {}
    for row, part in wanted:
        i, k = places[row]
        parts.setdefault(i, {})[k] = part
        row_of[i, k] = row
        record = rows[row].record
        tokens[i] = tokens.get(i, record.prompt_tokens) + tokens_of(record, part)
    asked = list(parts)
    costs = [tokens[i] for i in asked]
    # Alike in all processes, whose memory may differ.
    at_once = min(processes.gather(scorer.backend.at_once))
    found = score_prompts(
        costs,
        lambda n: scorer.prepare_parts(jobs[asked[n]], parts[asked[n]]),
        lambda n, ready: scorer.score_parts(jobs[asked[n]], ready),
        TokenBar(0, scorer.backend, shown=False, announce=_log.info),
        processes,
        groups=groups_of(costs, at_once),
        reading=scorer.reading,
    )
    return {
        row_of[asked[n], k]: record for n, records in found.items() for k, record in records.items()
    }
