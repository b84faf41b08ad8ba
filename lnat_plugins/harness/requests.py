"""One request of a naturalness task: lm-eval's, with what its task resolved by name.

Step sums from any back end of lm-eval, through the one method that takes token ids.

Each conditional is one request of context ids and continuation ids, so every token-level
back end (vLLM, SGLang, API models that return log-probabilities, ...) gives exactly the
numbers of the definition, at the cost of reading each window anew. The global score is
asked for as one request a response; its split into steps is then not known.

`--use_cache`: scored responses kept as they come, so that a killed run goes on.

lm-eval looks up only its own request types in the cache; ours are looked up here, in the
same file. The key holds all that decides the numbers, the student's weights included, so
a cache left by another student or other settings is not mistaken for this one.

What answers `naturalness` requests, on every back end of lm-eval.

lm-eval hands all requests of one type to the method of that name on the model. `install`
puts that method on lm-eval's model base class. For a Hugging Face causal model it runs
our engine on the model itself; for any other back end with a tokenizer it goes through
`_loglikelihood_tokens`. Both give the same numbers.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, TemplateLM, hash_args
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel

from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.types import ALL
from lnat_plugins.errors import StudentError
from lnat_plugins.harness.command import plain_errors
from lnat_plugins.scoring.backend import Backend, EngineBackend, Job, JobSums, Sum
from lnat_plugins.scoring.parallel import Work, score_all
from lnat_plugins.scoring.record import RequestedMetrics, StepSums
from lnat_plugins.scoring.scorer import Prepared, Scorer
from lnat_plugins.scoring.tokens import Ids
from lnat_plugins.steps import SPLITTERS, StepSpec, parse_steps
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set.config import fingerprint
from lnat_plugins.teacher_set.layouts import reward_of
from lnat_plugins.teacher_set.prompts import Response

_NOTHING = RequestedMetrics()


@dataclass
class Request(Instance):
    """lm-eval's request, plus how to cut responses and which metrics to serve.

    `arguments` names splitter and metrics, and is written to the samples file; here are they
    themselves, which may come from a plugin that only the task's YAML names.
    """

    steps: StepSpec | None = None
    requested: RequestedMetrics = _NOTHING


def requested_of(one: Instance) -> RequestedMetrics:
    """The metrics to serve beyond log-probabilities; none for a request of lm-eval's own kind."""
    requested = getattr(one, "requested", _NOTHING)
    return requested if isinstance(requested, RequestedMetrics) else _NOTHING


def steps_of(one: Instance) -> StepSpec:
    """How the request's response is cut; one of lm-eval's own kind knows built-in splitters."""
    steps = getattr(one, "steps", None)
    return steps if isinstance(steps, StepSpec) else parse_steps(one.args[1]["settings"]["steps"])


_Request = tuple[None, list[int], list[int]]
_Answer = tuple[float, bool]


class LoglikelihoodBackend:
    """Answers jobs with `lm._loglikelihood_tokens`."""

    global_by_step = False
    path = "loglikelihood"
    lacks = dict.fromkeys(sorted(ALL - {"reward"}), "this back end gives log-probabilities only")

    def __init__(self, lm: Any) -> None:
        self._lm = lm
        self.tokens_read = 0

    def sums(self, prompt: Ids, jobs: Sequence[Job]) -> list[JobSums]:
        """All requests of one prompt at once, so that the back end can batch them."""
        context = prompt.tolist()
        requests: list[_Request] = []
        for job in jobs:
            bounds, ids = job.response.bounds, job.response.ids.tolist()
            for start, step in sorted(job.pairs):
                seen = context + ids[bounds[start] : bounds[step]]
                requests.append((None, seen, ids[bounds[step] : bounds[step + 1]]))
            if job.whole:
                requests.append((None, context, ids))
        self.tokens_read += sum(len(seen) + len(asked) for _, seen, asked in requests)
        answers = iter(self._ask(requests))
        results = []
        for job in jobs:
            pairs = {pair: _sum(next(answers)) for pair in sorted(job.pairs)}
            results.append(JobSums(pairs, _sum(next(answers)) if job.whole else None))
        return results

    def _ask(self, requests: Sequence[_Request]) -> list[_Answer]:
        answers: dict[int, _Answer] = {}
        for part in _apart(requests):
            asked = [requests[i] for i in part]
            found = self._lm._loglikelihood_tokens(asked, disable_tqdm=True)
            answers |= dict(zip(part, found, strict=True))
        return [answers[i] for i in range(len(requests))]


def _apart(requests: Sequence[_Request]) -> list[list[int]]:
    """Indices of the requests, in as few calls as give right answers.

    lm-eval's `hf` reads requests once whose tokens, the last left out, are the same, and takes
    all their continuations from the beginning of the longest one. That is wrong for
    continuations of different lengths, such as the last step and the whole response.
    """
    lengths: dict[tuple[int, ...], list[int]] = {}
    parts: dict[int, list[int]] = {}
    for i, (_, seen, asked) in enumerate(requests):
        known = lengths.setdefault((*seen, *asked[:-1]), [])
        if len(asked) not in known:
            known.append(len(asked))
        parts.setdefault(known.index(len(asked)), []).append(i)
    return list(parts.values())


def _sum(answer: _Answer) -> Sum:
    value = float(answer[0])
    if math.isfinite(value):
        return Sum(value)
    return Sum(math.nan, "the back end gave a log-probability of NaN or infinity")


REQUEST = "naturalness"
_SAMPLED_VALUES = 64


class Cache:
    """Reads and writes the records of one student through lm-eval's cache hook."""

    def __init__(self, lm: Any) -> None:
        self._hook = lm.cache_hook
        self._student = student_fingerprint(lm) if self.used else ""

    @property
    def used(self) -> bool:
        """Whether the run has a cache."""
        return self._hook.dbdict is not None

    def find(
        self, prompt: Sequence[int], one: Response, settings_hash: str, wanted: frozenset[str]
    ) -> StepSums | None:
        """The record of a response that was scored before, with all statistics wanted, or None."""
        if not self.used:
            return None
        stored = self._hook.dbdict.get(hash_args(REQUEST, self._key(prompt, one, settings_hash)))
        if stored is None:
            return None
        record = StepSums.from_json(stored)
        told = {*record.step_statistics, *record.statistics, *record.undefined}
        return record if wanted <= told else None

    def keep(self, prompt: Sequence[int], one: Response, record: StepSums) -> None:
        """Writes a record at once."""
        key = self._key(prompt, one, record.settings_hash)
        self._hook.add_partial(REQUEST, key, record.to_json())

    def _key(self, prompt: Sequence[int], one: Response, settings_hash: str) -> list[Any]:
        steps = None if one.steps is None else list(one.steps)
        where = [one.teacher, one.sample, reward_of(one.extra, one.where)]
        return [self._student, settings_hash, list(map(int, prompt)), one.text, steps, where]


def student_fingerprint(lm: Any) -> str:
    """Tells one student from another.

    By context, tokenizer, configuration and a sample of the weights; a student that lives
    elsewhere by its name alone.
    """
    digest = hashlib.sha256(type(lm).__name__.encode())
    digest.update(f"{getattr(lm, 'model_args', '')}{getattr(lm, 'max_length', '')}".encode())
    digest.update(_tokenizer(lm.tokenizer).encode())
    model: Any = getattr(lm, "_model", None) or getattr(lm, "model", None)
    if hasattr(model, "named_parameters"):
        digest.update(_configuration(model).encode())
        for name, weight in model.named_parameters():
            flat = weight.detach().reshape(-1)
            sample = flat[:: max(1, flat.numel() // _SAMPLED_VALUES)].float().cpu().numpy()
            digest.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
            digest.update(sample.tobytes())
    else:
        digest.update(str(model if isinstance(model, str) else "").encode())
    return digest.hexdigest()[:12]


def _tokenizer(tokenizer: Any) -> str:
    """The whole of a fast tokenizer: the same text must become the same ids."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return str(backend.to_str()) if backend is not None else str(type(tokenizer))


def _configuration(model: Any) -> str:
    """How the weights are read: positions, scales, sliding windows. Not where they lie."""
    values: dict[str, Any] = model.config.to_dict() if hasattr(model, "config") else {}
    kept = {k: v for k, v in values.items() if k[0] != "_" and k != "transformers_version"}
    return json.dumps(kept, sort_keys=True, default=str)


_TOKENS_PER_BATCH_UNIT = 1024

# A child of the harness's own logger, whose handler and level its command sets up.
_log = logging.getLogger(f"lm_eval.{__name__}")


@dataclass(frozen=True)
class Reply:
    """What a back end returns for one request; written to the samples file as JSON text."""

    record: StepSums

    def __str__(self) -> str:
        return self.record.to_json()


def install() -> None:
    """Teaches every lm-eval model the request type. Doing it again changes nothing."""
    if getattr(LM, REQUEST, None) is not answer:
        setattr(LM, REQUEST, answer)


def answer(lm: LM, requests: list[Instance]) -> list[Reply]:
    """Scores all requests, prompt by prompt; one reply a request, in order.

    A request's arguments are the rendered prompt and what is asked (teacher, sample,
    settings); its response is the row of its document with the request's index. Requests
    repeated to give all ranks the same number are scored once.
    """
    with plain_errors():
        if not isinstance(lm, TemplateLM) or lm.tokenizer is None:
            raise StudentError(
                "this back end of lm-eval gives no log-probabilities of token ids",
                found=type(lm).__name__,
                remedy="use hf, vllm, sglang or another back end with a tokenizer",
            )
        backend = choose_backend(lm)
        for requested in {id(each): each for each in map(requested_of, requests)}.values():
            requested.check_student(backend.lacks)
        scoring = _Scoring(lm, backend)
        groups = _by_prompt(requests)
        works = [_work(group) for group in groups]
        answers = score_all(works, scoring, lm)
        _tell(lm, backend)
        replies = {
            id(one): Reply(record)
            for group, records in zip(groups, answers, strict=True)
            for one, record in zip(group, records, strict=True)
        }
        return [replies[id(one)] for one in requests]


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
    return EngineBackend(Engine(lm.model, token_budget=_budget(lm)))


def _budget(lm: HFLM) -> int | None:
    """`--batch_size` as a hint: each unit above 1 is 1,024 tokens a pass."""
    size = lm.batch_size
    return size * _TOKENS_PER_BATCH_UNIT if isinstance(size, int) and size > 1 else None


def _by_prompt(requests: Iterable[Instance]) -> list[list[Instance]]:
    groups: dict[tuple[str, _Key], dict[int, Instance]] = {}
    for one in requests:
        key = _key(_settings(one), steps_of(one), requested_of(one).statistics)
        groups.setdefault((one.args[0], key), {})[id(one)] = one
    return [list(group.values()) for group in groups.values()]


def _work(group: Sequence[Instance]) -> Work:
    first = group[0]
    return Work(
        first.args[0],
        _settings(first),
        steps_of(first),
        tuple(map(_response, group)),
        requested_of(first).statistics,
    )


def _settings(one: Instance) -> Mapping[str, Any]:
    settings: Mapping[str, Any] = one.args[1]["settings"]
    return settings


class _Key(NamedTuple):
    """What requests must share to be scored alike.

    Two YAMLs may each bring a splitter of the same name and version: `splitter` tells the
    objects apart where they are not the same. So may metrics of one name differ in their needs.
    """

    settings: str
    splitter: int
    statistics: frozenset[str]


def _key(settings: Mapping[str, Any], steps: StepSpec, statistics: frozenset[str]) -> _Key:
    splitter = steps.splitter
    known = SPLITTERS.get(splitter.name, splitter) if splitter else None
    return _Key(fingerprint(settings), id(known), statistics)


class _Ready(NamedTuple):
    """A prompt before it is scored.

    Args:
        records: of each response, None for those that were not kept.
        missing: the indices of these.
        prepared: their tokens, if any is missing.
    """

    records: list[StepSums | None]
    missing: list[int]
    prepared: Prepared | None


class _Scoring:
    """Scores prompts on this rank, and keeps the records where `--use_cache` says so."""

    def __init__(self, lm: TemplateLM, backend: Backend) -> None:
        self._lm = lm
        self._backend = backend
        self._cache = Cache(lm)
        self._scorers: dict[_Key, Scorer] = {}

    def find(self, work: Work) -> list[StepSums] | None:
        """The records of a prompt all of whose responses were kept."""
        if not self._cache.used:
            return None
        records = self._kept(self._lm.tok_encode(work.prompt), work)
        return None if None in records else [one for one in records if one is not None]

    @property
    def tokens_read(self) -> int:
        """By this rank so far."""
        return self._backend.tokens_read

    def prepare(self, work: Work) -> _Ready:
        """What needs no student: the prompt's tokens, those of its responses, what was kept."""
        prompt = self._lm.tok_encode(work.prompt)
        records = self._kept(prompt, work)
        missing = [i for i, record in enumerate(records) if record is None]
        responses = [work.responses[i] for i in missing]
        return _Ready(
            records, missing, self._scorer(work).prepare(prompt, responses) if responses else None
        )

    def score(self, work: Work, ready: _Ready) -> list[StepSums]:
        """The records of a prompt; what was kept of it is not scored again."""
        records, missing, prepared = ready
        if prepared is not None:
            prompt: list[int] = prepared.prompt.tolist()
            new = self._scorer(work).score_prepared(prepared)
            for i, record in zip(missing, new, strict=True):
                self._cache.keep(prompt, work.responses[i], record)
                records[i] = record
        return [record for record in records if record is not None]

    def _kept(self, prompt: Sequence[int], work: Work) -> list[StepSums | None]:
        settings_hash = fingerprint(work.settings)
        return [
            self._cache.find(prompt, one, settings_hash, work.statistics) for one in work.responses
        ]

    def _scorer(self, work: Work) -> Scorer:
        key = _key(work.settings, work.steps, work.statistics)
        if key not in self._scorers:
            self._scorers[key] = Scorer(
                tokenizer=self._lm.tokenizer,
                backend=self._backend,
                spec=work.steps,
                windows=parse_windows(work.settings["windows"]),
                settings=work.settings,
                max_length=_context(self._lm),
                host={"lm_eval": importlib.metadata.version("lm_eval")},
                statistics=work.statistics,
            )
        return self._scorers[key]


def _context(lm: TemplateLM) -> int | None:
    """Tokens of a request that are read; a longer request would be cut on its left.

    `hf` does not read a request's last token. The others do, and vLLM keeps one more place
    for a token that it generates.
    """
    length: int | None = getattr(lm, "max_length", None)
    return length if length is None or isinstance(lm, HFLM) else length - 2


def _response(one: Instance) -> Response:
    row = one.doc["responses"][one.idx]
    wanted = "reward" in requested_of(one).statistics
    return Response(
        row["teacher"], row["response"], row["sample"],
        steps=row.get("steps"), extra={"reward": row.get("reward")} if wanted else {},
        where=f"prompt {one.doc['prompt_id']}, teacher {row['teacher']}",
    )  # fmt: skip


def _tell(lm: TemplateLM, backend: Backend) -> None:
    """Says how the scores came about, once a run."""
    if lm.rank != 0:
        return
    _log.info("Scored through the %s path", backend.path)
    if isinstance(backend, EngineBackend):
        if backend.engine.reason:
            _log.info("Not packed: %s", backend.engine.reason)
        _log.info("Read: %s", json.dumps(vars(backend.engine.counts)))
