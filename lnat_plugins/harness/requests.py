"""`naturalness` requests, scored on every back end of lm-eval.

lm-eval hands all requests of one type to the method of that name on the model. `install` puts that
method on lm-eval's model base class. For a Hugging Face causal model it runs our engine on the
model itself, and vLLM it asks for the runs of the engine's plan; for any other back end with a
tokenizer it goes through `_loglikelihood_tokens`. All give the same numbers.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import pickle
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, TemplateLM
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import NO_MEMORY, OUT_OF_MEMORY
from lnat_plugins.errors import StudentError, visible
from lnat_plugins.formatting import plural
from lnat_plugins.harness.budgeted import check_shared, score_with_budget
from lnat_plugins.harness.command import is_command, plain_errors
from lnat_plugins.harness.loglikelihood import LoglikelihoodBackend
from lnat_plugins.harness.prompt_scorer import (
    REQUEST,
    PromptJob,
    PromptScorer,
    ScorerKey,
    about_tokens,
    scorer_key,
)
from lnat_plugins.harness.written import expect_files
from lnat_plugins.scoring.backend import Backend
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.parallel import Processes, groups_of, score_prompts
from lnat_plugins.scoring.progress import TokenBar, ToRead, counting_bar
from lnat_plugins.scoring.record import RequestedMetrics, StepSums
from lnat_plugins.scoring.token_values import TokenValues
from lnat_plugins.scoring.vllm_backend import vllm_backend
from lnat_plugins.steps import StepSpec, parse_steps
from lnat_plugins.teacher_set.config import CHOICE
from lnat_plugins.teacher_set.prompts import (
    READ_BY_TEMPLATE,
    Message,
    Response,
    role_and_content,
)

_TOKENS_PER_BATCH_UNIT: Final = 1024
_NONE_REQUESTED: Final = RequestedMetrics()

# A child of the harness's own logger, whose handler and level its command sets up.
_log = logging.getLogger(f"lm_eval.{__name__}")


@dataclass
class Request(Instance):
    """lm-eval's request, with splitter and metrics as objects.

    `arguments`, which is written to the samples file, holds their names; a plugin that only the
    task's YAML names may have brought them. `tokens`: whether the record keeps the numbers of
    every token; `narrower`: whether the windows below the widest are recorded; `variants`: whether
    the prompt is of the sample that is scored in further ways.
    """

    steps: StepSpec | None = None
    requested: RequestedMetrics = _NONE_REQUESTED
    tokens: bool = False
    narrower: bool = False
    variants: bool = False


@dataclass(frozen=True)
class Reply:
    """What a back end returns for one request; written to the samples file as JSON text."""

    record: StepSums

    def __str__(self) -> str:
        return self.record.to_json()


def install() -> None:
    """Adds the request type to every lm-eval model. Doing it again changes nothing."""
    if getattr(LM, REQUEST, None) is not score_requests:
        setattr(LM, REQUEST, score_requests)


def score_requests(lm: LM, requests: list[Instance]) -> list[Reply]:
    """Scores all requests, prompt by prompt; one reply a request, in order.

    A request's arguments are the rendered prompt and what is scored (teacher, sample, settings);
    its response is the row of its document with the request's index. Requests repeated to give
    all ranks the same number are scored once.
    """
    with plain_errors():
        if not isinstance(lm, TemplateLM) or lm.tokenizer is None:
            raise StudentError(
                "this back end of lm-eval gives no log-probabilities of token ids",
                found=type(lm).__name__,
                remedy="use hf, vllm, sglang or another back end with a tokenizer",
            )
        backend = choose_backend(lm)
        for requested in {id(each): each for each in map(_requested, requests)}.values():
            requested.check_student(backend.unavailable)
        groups: dict[tuple[Any, ScorerKey], dict[int, PromptJob]] = {}
        for request in requests:
            job = _job_of_one(request)
            turns = role_and_content(job.messages)
            # A budget is for the prompts of its own set, also where two have the same text.
            own = (job.task, job.prompt_id) if job.settings.get("budget") else ()
            groups.setdefault(((job.prompt, turns, own), scorer_key(job)), {})[id(request)] = job
        jobs = []
        for group in groups.values():
            first, *_ = of_one = list(group.values())
            jobs.append(first._replace(responses=tuple(job.responses[0] for job in of_one)))
        records = _score_jobs(jobs, lm, backend)
        if lm.world_size == 1:
            _refuse_nothing([record for own in records for record in own])
        if lm.rank == 0:
            if is_command():
                budgets = [job.settings.get("budget", {}) for job in jobs]
                choice = all(budget.get("goal") == CHOICE for budget in budgets)
                names = [request.task_name or "" for request in requests]
                expect_files(names, "select" if choice else "rank")
            _log.info(
                "Scored through the %s path, %s tokens read", backend.path,
                f"{backend.tokens_read:,}",
            )  # fmt: skip
            if isinstance(backend, EngineBackend):
                if backend.engine.reason:
                    _log.info("Not packed: %s", backend.engine.reason)
                _log.debug("Read: %s", json.dumps(vars(backend.engine.counts)))
            kept = [
                one.token_values
                for own in records
                for one in own
                if isinstance(one.token_values, TokenValues)
            ]
            if kept:
                _log.info(
                    "The samples file keeps the numbers of every token: %.1f MB for %d responses "
                    "(`tokens: false` leaves them out)",
                    sum(values.size for values in kept) / 1e6, len(kept),
                )  # fmt: skip
        replies: dict[int, Reply] = {}
        for group, of_prompt in zip(groups.values(), records, strict=True):
            replies |= zip(group, map(Reply, of_prompt), strict=True)
        return [replies[id(request)] for request in requests]


def _refuse_nothing(records: Sequence[StepSums]) -> None:
    """Raise StudentError where memory sufficed for no response."""
    if records and all(
        any(reason.endswith(OUT_OF_MEMORY) for reason in record.undefined.values())
        and all(map(math.isnan, record.totals.values()))
        for record in records
    ):
        raise StudentError(
            "the student ran out of memory on every response",
            found=plural(len(records), "response"), remedy=NO_MEMORY,
        )  # fmt: skip


def choose_backend(lm: TemplateLM) -> Backend:
    """Our engine where lm-eval runs a Hugging Face causal model in its plain way; vLLM likewise."""
    if (vllm := _plain_vllm(lm)) is not None:
        return vllm_backend(vllm, getattr(lm, "lora_request", None))
    plain = (
        isinstance(lm, HFLM)
        and lm.backend == "causal"
        and isinstance(getattr(lm.model, "get_base_model", lambda: lm.model)(), PreTrainedModel)
        and type(lm)._model_call is HFLM._model_call
        and getattr(lm, "mixed_precision_dtype", None) is None
        and not getattr(getattr(lm.model, "active_peft_config", None), "is_prompt_learning", False)
    )
    if not plain:
        return LoglikelihoodBackend(lm)
    # `--batch_size` is a hint: each unit above 1 is 1,024 tokens a pass.
    size = lm.batch_size
    budget = size * _TOKENS_PER_BATCH_UNIT if isinstance(size, int) and size > 1 else None
    return EngineBackend(Engine(lm.model, token_budget=budget))


def _plain_vllm(lm: TemplateLM) -> Any:
    """The `vllm.LLM` of lm-eval's `vllm` model, or None.

    There is none with `data_parallel_size`, whose models live in Ray's processes. The module is
    looked up, not imported: it imports vLLM.
    """
    kind = getattr(sys.modules.get("lm_eval.models.vllm_causallms"), "VLLM", None)
    plain = (
        kind is not None
        and isinstance(lm, kind)
        and type(lm)._loglikelihood_tokens is kind._loglikelihood_tokens
        and type(lm)._model_generate is kind._model_generate
    )
    return getattr(lm, "model", None) if plain else None


def _score_jobs(
    jobs: Sequence[PromptJob], lm: TemplateLM, backend: Backend
) -> list[list[StepSums]]:
    """The records of each prompt of this rank, in order, whichever rank scores it.

    lm-eval deals prompts out to ranks like cards, long ones and short ones alike. Here every rank
    sends the others its prompts, they share all of them, and each rank gets its own back.
    """
    ranks = Processes(alone=Processes().count != lm.world_size)
    with closing(ranks.together(lambda: PromptScorer(lm, backend))) as scorer:
        return _score_with(scorer, jobs, ranks)


def _score_with(
    scorer: PromptScorer, jobs: Sequence[PromptJob], ranks: Processes
) -> list[list[StepSums]]:
    processes = ranks
    if not all(ranks.gather(_can_be_sent(jobs))):
        processes = Processes(alone=True)
    everything = [job for own in processes.gather(list(jobs)) for job in own]
    scorer.get_ready(everything)
    found: dict[int, list[StepSums]] = {}
    races: dict[str, list[int]] = {}
    for i, job in enumerate(everything):
        if job.settings.get("budget"):
            races.setdefault(job.task, []).append(i)
    for places in races.values():
        check_shared(processes, ranks)
        of_task = score_with_budget([everything[i] for i in places], scorer, processes)
        found |= dict(zip(places, of_task, strict=True))
    if any(ranks.gather(len(found) < len(everything))):
        found |= _read_all(everything, found, scorer, ranks, processes)
    first = sum(processes.gather(len(jobs))[: processes.rank])
    return [found[first + i] for i in range(len(jobs))]


def _read_all(
    everything: Sequence[PromptJob], done: Collection[int], scorer: PromptScorer,
    ranks: Processes, processes: Processes,
) -> dict[int, list[StepSums]]:  # fmt: skip
    """Index of a prompt -> its records, of all prompts that are not done."""
    rest = [i for i in range(len(everything)) if i not in done]
    found: dict[int, list[StepSums]] = {}
    if processes.count > 1 and scorer.cache.used:
        # Alone, cached records are looked up when a prompt is prepared. Here each rank renders its
        # share and looks it up; ranks of several machines may each have a file of their own, so
        # that all of them look for what was not found.
        looked_up = processes.share(
            rest, lambda share: [scorer.look_up(everything[i]) for i in share]
        )
        digests = {}
        for i, (of_prompt, kept) in zip(rest, looked_up, strict=True):
            if kept is None:
                digests[i] = of_prompt
            else:
                found[i] = kept
        cached = {i: scorer.cached(everything[i], one) for i, one in digests.items()}
        own = {i: kept for i, kept in cached.items() if kept is not None}
        for part in processes.gather(own):
            found |= part
    missing = [i for i in rest if i not in found]

    def count(share: Sequence[int]) -> list[ToRead]:
        # A row that cannot be rendered ends the run here, on all ranks, before one is scored.
        with counting_bar(share, shown=ranks.main) as bar:
            return [scorer.to_read(everything[i]) for i in bar]

    counted = ranks.together(lambda: processes.share(missing, count))
    costs = [one.tokens.tokens for one in counted]
    responses = sum(len(everything[i].responses) for i in rest)
    responses = responses if processes.count > 1 else sum(ranks.gather(responses))
    # Of ranks that share, each knows all; of others each its own.
    plan = sum(counted, ToRead())
    plan = plan if processes.count > 1 else sum(ranks.gather(plan), ToRead())
    if ranks.main:
        for text, n_rows in plan.warned.items():
            _log.warning("%s: %s", plural(n_rows, "response"), visible(text))
        _log.info("Plan: %s", plan.in_words(responses - plan.responses))
    # Alike in all processes, whose memory may differ.
    at_once = min(processes.gather(scorer.backend.at_once))
    group_of: dict[int, tuple[str, int]] = {}
    # Of each task by itself, whose numbers then do not hang on what else is in the run.
    for task, of_task in itertools.groupby(rest, key=lambda i: everything[i].task):
        places = list(of_task)
        groups = groups_of([about_tokens(everything[i]) for i in places], at_once)
        group_of |= {i: (task, group) for i, group in zip(places, groups, strict=True)}
    bar = TokenBar(sum(costs), scorer.backend, shown=ranks.main, announce=_log_capitalised)
    new = score_prompts(
        costs,
        lambda n: scorer.prepare(everything[missing[n]]),
        lambda n, ready: scorer.score(everything[missing[n]], ready),
        bar,
        processes,
        groups=[group_of[i] for i in missing],
        reading=scorer.reading,
    )
    return found | {missing[n]: records for n, records in new.items()}


def _log_capitalised(text: str) -> None:
    _log.info("%s", visible(text[:1].upper() + text[1:]))


def _can_be_sent(jobs: Sequence[PromptJob]) -> bool:
    """Whether other ranks can get the prompts: a splitter of a plugin's file cannot be pickled."""
    try:
        pickle.dumps([job.steps for job in jobs])
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def _job_of_one(request: Instance) -> PromptJob:
    """The request alone; one of lm-eval's own kind knows built-in splitters only."""
    settings = request.args[1]["settings"]
    steps = getattr(request, "steps", None) or parse_steps(
        settings["steps"],
        markers=settings.get("markers", "skip"),
        prefix=settings.get("prefix", ""),
    )
    statistics = _requested(request).statistics
    row = request.doc["responses"][request.idx]
    read = (*READ_BY_TEMPLATE, *statistics & {"reward"})
    response = Response(
        row["teacher"], row["response"], row["sample"], row.get("correct"), row.get("steps"),
        extra={name: row[name] for name in read if name in row},
        where=f"prompt {request.doc['prompt_id']}, teacher {row['teacher']}",
        turn=row.get("turn"), turns=row.get("conversation_turns"),
    )  # fmt: skip
    return PromptJob(
        request.task_name or "", str(request.doc["prompt_id"]),
        request.args[0], _turns(request.args[0], request.doc, settings), settings, steps,
        (response,), statistics,
        *(getattr(request, name, False) for name in ("tokens", "narrower", "variants")),
    )  # fmt: skip


def _turns(prompt: str, doc: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[Message, ...]:
    """The prompt as the renderer takes it."""
    if settings.get("chat_template") is None:
        return ({"role": "user", "content": prompt},)
    system = settings.get("system_instruction")
    opening = ({"role": "system", "content": system},) if system else ()
    return (*opening, *({**turn} for turn in doc["messages"]))


def _requested(request: Instance) -> RequestedMetrics:
    requested: RequestedMetrics = getattr(request, "requested", _NONE_REQUESTED)
    return requested
