"""`naturalness` requests, scored on every back end of lm-eval.

lm-eval hands all requests of one type to the method of that name on the model. `install` puts that
method on lm-eval's model base class. For a Hugging Face causal model it runs our engine on the
model itself; for any other back end with a tokenizer it goes through `_loglikelihood_tokens`. Both
give the same numbers.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, TemplateLM
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel

from lnat_plugins.engine.engine import Engine
from lnat_plugins.errors import StudentError
from lnat_plugins.formatting import plural
from lnat_plugins.harness.cache import RecordCache
from lnat_plugins.harness.command import is_command, plain_errors
from lnat_plugins.harness.loglikelihood import LoglikelihoodBackend
from lnat_plugins.harness.written import expect_files
from lnat_plugins.scoring.backend import Backend, EngineBackend
from lnat_plugins.scoring.parallel import Processes, score_prompts
from lnat_plugins.scoring.progress import TokenBar, ToRead, counting_bar
from lnat_plugins.scoring.record import RequestedMetrics, StepSums
from lnat_plugins.scoring.rows import Renderer, RowTokens, count_warned
from lnat_plugins.scoring.sanity import student_facts
from lnat_plugins.scoring.scorer import Prepared, PreparedRows, Scorer
from lnat_plugins.scoring.variants import score_with_variants, to_read_with_variants
from lnat_plugins.steps import SPLITTERS, StepSpec, parse_steps
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set.config import fingerprint
from lnat_plugins.teacher_set.prompts import (
    READ_BY_TEMPLATE,
    Message,
    Response,
    role_and_content,
)

REQUEST: Final = "naturalness"
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
        groups: dict[tuple[Any, _ScorerKey], dict[int, PromptJob]] = {}
        for request in requests:
            job = _job_of_one(request)
            turns = role_and_content(job.messages)
            groups.setdefault(((job.prompt, turns), _scorer_key(job)), {})[id(request)] = job
        jobs = []
        for group in groups.values():
            first, *_ = of_one = list(group.values())
            jobs.append(first._replace(responses=tuple(job.responses[0] for job in of_one)))
        records = _score_jobs(jobs, PromptScorer(lm, backend), lm.world_size)
        if lm.rank == 0:
            if is_command():
                expect_files([request.task_name or "" for request in requests])
            _log.info(
                "Scored through the %s path, %s tokens read", backend.path,
                f"{backend.tokens_read:,}",
            )  # fmt: skip
            if isinstance(backend, EngineBackend):
                if backend.engine.reason:
                    _log.info("Not packed: %s", backend.engine.reason)
                _log.debug("Read: %s", json.dumps(vars(backend.engine.counts)))
            kept = [one.token_values for own in records for one in own if one.token_values]
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


def choose_backend(lm: TemplateLM) -> Backend:
    """Our engine where lm-eval runs a Hugging Face causal model in its plain way."""
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


class PromptJob(NamedTuple):
    """One rendered prompt with its responses, to be scored by whichever rank.

    `messages` are the prompt's turns; of a plain prompt, one turn that holds it. `settings` are
    everything that decides the numbers, as JSON values.
    """

    prompt: str
    messages: tuple[Message, ...]
    settings: Mapping[str, Any]
    steps: StepSpec
    responses: tuple[Response, ...]
    statistics: frozenset[str]
    tokens: bool
    narrower: bool
    variants: bool


def _score_jobs(
    jobs: Sequence[PromptJob], scorer: PromptScorer, world_size: int
) -> list[list[StepSums]]:
    """The records of each prompt of this rank, in order, whichever rank scores it.

    lm-eval deals prompts out to ranks like cards, long ones and short ones alike. Here every rank
    sends the others its prompts, they share all of them, and each rank gets its own back.
    """
    ranks = processes = Processes(alone=Processes().count != world_size)
    if not all(ranks.gather(_can_be_sent(jobs))):
        processes = Processes(alone=True)
    everything = [job for own in processes.gather(list(jobs)) for job in own]
    scorer.get_ready(everything)
    found: dict[int, list[StepSums]] = {}
    if processes.count > 1 and scorer.cache.used:
        # Alone, cached records are looked up when a prompt is prepared. Each rank has a cache of
        # its own, which is asked by what the rows' ids are: each rank renders its share.
        of_rank = everything[processes.rank :: processes.count]
        parts = processes.gather(processes.together(lambda: [*map(scorer.digests, of_rank)]))
        digests = [parts[i % len(parts)][i // len(parts)] for i in range(len(everything))]
        cached = map(scorer.cached, everything, digests)
        own = {i: records for i, records in enumerate(cached) if records is not None}
        for part in processes.gather(own):
            found |= part
    missing = [i for i in range(len(everything)) if i not in found]

    def count(share: Sequence[int]) -> list[ToRead]:
        # A row that cannot be rendered ends the run here, on all ranks, before one is scored.
        with counting_bar(share, shown=ranks.main) as bar:
            return [scorer.to_read(everything[i]) for i in bar]

    counted = ranks.together(lambda: processes.share(missing, count))
    costs = [one.tokens.tokens for one in counted]
    responses = sum(ranks.gather(sum(len(job.responses) for job in jobs)))
    # Of ranks that share, each knows all; of others each its own.
    plan = sum(counted, ToRead())
    plan = plan if processes.count > 1 else sum(ranks.gather(plan), ToRead())
    if ranks.main:
        for text, n_rows in plan.warned.items():
            _log.warning("%s: %s", plural(n_rows, "response"), text)
        _log.info("Plan: %s", plan.in_words(responses - plan.responses))
    bar = TokenBar(sum(costs), scorer.backend, shown=ranks.main, announce=_log_capitalised)
    new = score_prompts(
        costs,
        lambda n: scorer.prepare(everything[missing[n]]),
        lambda n, prepared: scorer.score(everything[missing[n]], *prepared),
        bar,
        processes,
    )
    found |= {missing[n]: records for n, records in new.items()}
    first = sum(processes.gather(len(jobs))[: processes.rank])
    return [found[first + i] for i in range(len(jobs))]


def _log_capitalised(text: str) -> None:
    _log.info("%s", text[:1].upper() + text[1:])


def _can_be_sent(jobs: Sequence[PromptJob]) -> bool:
    """Whether other ranks can get the prompts: a splitter of a plugin's file cannot be pickled."""
    try:
        pickle.dumps([job.steps for job in jobs])
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


class PromptScorer:
    """Scores prompts on this rank, and keeps the records if `--use_cache` was given."""

    def __init__(self, lm: TemplateLM, backend: Backend) -> None:
        self._lm = lm
        self.backend = backend
        self.cache = RecordCache(lm, REQUEST)
        self._scorers: dict[_ScorerKey, Scorer] = {}

    def get_ready(self, jobs: Iterable[PromptJob]) -> None:
        """Makes a scorer for each kind of prompt among these, before any of them is prepared.

        To make one runs the student; prompts are prepared in a second thread, and a model must
        not run in two at once.
        """
        # Tokens of a request that are read; a longer request would be cut on its left. `hf`
        # does not read a request's last token. The others do, and vLLM keeps one more position
        # for a token that it generates.
        length: int | None = getattr(self._lm, "max_length", None)
        if length is not None and not isinstance(self._lm, HFLM):
            length -= 2
        facts: dict[bool, dict[str, Any]] = {}
        for key, job in {_scorer_key(job): job for job in jobs}.items():
            template = job.settings.get("chat_template") is not None
            if template not in facts:
                facts[template] = student_facts(
                    self._lm.tokenizer, self.backend, template=template, max_length=length
                )
            self._scorers[key] = Scorer(
                tokenizer=self._lm.tokenizer,
                backend=self.backend,
                spec=job.steps,
                windows=parse_windows(job.settings["windows"]),
                settings=job.settings,
                max_length=length,
                host={"lm_eval": importlib.metadata.version("lm_eval")},
                statistics=job.statistics,
                narrower=job.narrower,
                tokens=job.tokens,
                student=facts[template],
            )

    def digests(self, job: PromptJob) -> list[str]:
        """Of the ids of each row of a prompt; with them its records are looked up."""
        return [row.digest for row in self._render(job)]

    def cached(self, job: PromptJob, digests: Sequence[str]) -> list[StepSums] | None:
        """The records of a prompt if all its responses were kept."""
        records = self._cached(digests, job)
        return None if None in records else [record for record in records if record is not None]

    def prepare(self, job: PromptJob) -> tuple[list[StepSums | None], PreparedRows | None]:
        """What needs no student: the record of each response, None if none was kept; and the
        tokens of those without.
        """
        return self._prepare(job, self._render(job))

    def _prepare(
        self, job: PromptJob, rows: Sequence[RowTokens]
    ) -> tuple[list[StepSums | None], PreparedRows | None]:
        records = self._cached([row.digest for row in rows], job)
        missing = [i for i, record in enumerate(records) if record is None]
        if not missing:
            return records, None
        return records, self._scorer(job).prepare_rows(
            [rows[i] for i in missing], [job.responses[i] for i in missing]
        )

    def to_read(self, job: PromptJob) -> ToRead:
        """What the student will read of a prompt; raises as `prepare`."""
        rows = self._render(job)
        warned = count_warned(rows)
        records, prepared = self._prepare(job, rows)
        if prepared is None:
            return ToRead(warned=warned)
        count = to_read_with_variants if job.variants else Scorer.to_read
        tokens = prepared.to_read(partial(count, self._scorer(job)))
        read = [r for r, kept in zip(job.responses, records, strict=True) if kept is None]
        return ToRead(1, len(read), frozenset(one.teacher for one in read), tokens, warned)

    def score(
        self, job: PromptJob, records: list[StepSums | None], prepared: PreparedRows | None
    ) -> list[StepSums]:
        """The records of a prompt, from what `prepare` returned."""
        if prepared is None:
            return [record for record in records if record is not None]
        scorer = self._scorer(job)

        def scored(part: Prepared) -> list[StepSums]:
            new = (score_with_variants if job.variants else Scorer.score_prepared)(scorer, part)
            for response, record in zip(part.responses, new, strict=True):
                self.cache.keep(response, record)
            return new

        new = iter(prepared.score(scored))
        return [record or next(new) for record in records]

    def _render(self, job: PromptJob) -> list[RowTokens]:
        plain = job.settings.get("chat_template") is None
        renderer = Renderer(self._lm.tokenizer, plain, template_options(self._lm), strict=False)
        return [renderer.response(job.messages, response) for response in job.responses]

    def _cached(self, digests: Sequence[str], job: PromptJob) -> list[StepSums | None]:
        settings_hash = fingerprint(job.settings)
        found = [
            self.cache.find(digest, response, settings_hash, job.statistics)
            for digest, response in zip(digests, job.responses, strict=True)
        ]
        tokens = job.tokens and self.backend.shares_runs
        return [
            None
            if record is None
            or (tokens and record.token_values is None)
            or (job.variants and not record.variants)
            or not {window.name for window in self._scorer(job).scored_windows} <= {*record.sums}
            else record
            for record in found
        ]

    def _scorer(self, job: PromptJob) -> Scorer:
        return self._scorers[_scorer_key(job)]


_ScorerKey = tuple[str, int, frozenset[str], tuple[bool, bool, bool]]


def _scorer_key(job: PromptJob) -> _ScorerKey:
    """What prompts must share to be scored alike.

    Two YAMLs may each bring a splitter of the same name and version: the id is that of the object.
    Metrics of one name may differ in their needs, too.
    """
    splitter = job.steps.splitter
    known = SPLITTERS.get(splitter.name, splitter) if splitter else None
    return (
        fingerprint(job.settings),
        id(known),
        job.statistics,
        (job.tokens, job.narrower, job.variants),
    )


def _job_of_one(request: Instance) -> PromptJob:
    """The request alone; one of lm-eval's own kind knows built-in splitters only."""
    settings = request.args[1]["settings"]
    steps = getattr(request, "steps", None) or parse_steps(
        settings["steps"], markers=settings.get("markers", "skip")
    )
    statistics = _requested(request).statistics
    row = request.doc["responses"][request.idx]
    read = (*READ_BY_TEMPLATE, *statistics & {"reward"})
    response = Response(
        row["teacher"], row["response"], row["sample"], steps=row.get("steps"),
        extra={name: row[name] for name in read if name in row},
        where=f"prompt {request.doc['prompt_id']}, teacher {row['teacher']}",
        turn=row.get("turn"),
    )  # fmt: skip
    return PromptJob(
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


def template_options(lm: Any) -> dict[str, Any]:
    """What `--model_args` gives to the chat template in every row."""
    options = dict(getattr(lm, "chat_template_args", None) or {})
    # `hf` keeps this one among the others; vLLM and TensorRT-LLM apart.
    thinking = getattr(lm, "enable_thinking", None)
    return options if thinking is None else {"enable_thinking": thinking, **options}


def _requested(request: Instance) -> RequestedMetrics:
    requested: RequestedMetrics = getattr(request, "requested", _NONE_REQUESTED)
    return requested
