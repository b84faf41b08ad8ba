"""What answers `naturalness` requests, on every back end of lm-eval.

lm-eval hands all requests of one type to the method of that name on the model. `install`
puts that method on lm-eval's model base class. For a Hugging Face causal model it runs
our engine on the model itself; for any other back end with a tokenizer it goes through
`_loglikelihood_tokens`. Both give the same numbers.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, TemplateLM
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel

from lnat_plugins.config import fingerprint
from lnat_plugins.engine import Engine
from lnat_plugins.errors import StudentError
from lnat_plugins.harness.loglikelihood import LoglikelihoodBackend
from lnat_plugins.harness.plain import plain_errors
from lnat_plugins.harness.request import asked_of, steps_of
from lnat_plugins.harness.resume import REQUEST, Cache
from lnat_plugins.harness.sharing import Work, score_all
from lnat_plugins.record import StepSums
from lnat_plugins.scorer import Backend, Candidate, EngineBackend, Prepared, Scorer
from lnat_plugins.steps import SPLITTERS, StepSpec
from lnat_plugins.teacher_set.reward import reward_of
from lnat_plugins.windows import parse_windows

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
        for asked in {id(asked): asked for asked in map(asked_of, requests)}.values():
            asked.check_student(backend.lacks)
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
        key = _key(_settings(one), steps_of(one), asked_of(one).statistics)
        groups.setdefault((one.args[0], key), {})[id(one)] = one
    return [list(group.values()) for group in groups.values()]


def _work(group: Sequence[Instance]) -> Work:
    first = group[0]
    return Work(
        first.args[0],
        _settings(first),
        steps_of(first),
        tuple(map(_candidate, group)),
        asked_of(first).statistics,
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
        asked = [work.candidates[i] for i in missing]
        return _Ready(
            records, missing, self._scorer(work).prepare(prompt, asked) if asked else None
        )

    def score(self, work: Work, ready: _Ready) -> list[StepSums]:
        """The records of a prompt; what was kept of it is not scored again."""
        records, missing, prepared = ready
        if prepared is not None:
            prompt: list[int] = prepared.prompt.tolist()
            new = self._scorer(work).score_prepared(prepared)
            for i, record in zip(missing, new, strict=True):
                self._cache.keep(prompt, work.candidates[i], record)
                records[i] = record
        return [record for record in records if record is not None]

    def _kept(self, prompt: Sequence[int], work: Work) -> list[StepSums | None]:
        settings_hash = fingerprint(work.settings)
        return [
            self._cache.find(prompt, one, settings_hash, work.statistics) for one in work.candidates
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


def _candidate(one: Instance) -> Candidate:
    row = one.doc["responses"][one.idx]
    where = f"prompt {one.doc['prompt_id']}, teacher {row['teacher']}"
    reward = reward_of(row, where) if "reward" in asked_of(one).statistics else None
    return Candidate(
        row["teacher"], row["sample"], row["response"], row.get("steps"), where, reward
    )


def _tell(lm: TemplateLM, backend: Backend) -> None:
    """Says how the scores came about, once a run."""
    if lm.rank != 0:
        return
    _log.info("Scored through the %s path", backend.path)
    if isinstance(backend, EngineBackend):
        if backend.engine.reason:
            _log.info("Not packed: %s", backend.engine.reason)
        _log.info("Read: %s", json.dumps(vars(backend.engine.counts)))
