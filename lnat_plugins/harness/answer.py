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
from tqdm import tqdm
from transformers import PreTrainedModel

from lnat_plugins.config import fingerprint
from lnat_plugins.engine import Engine
from lnat_plugins.errors import StudentError
from lnat_plugins.harness.loglikelihood import LoglikelihoodBackend
from lnat_plugins.harness.plain import plain_errors
from lnat_plugins.harness.request import steps_of
from lnat_plugins.harness.resume import REQUEST, Cache
from lnat_plugins.record import StepSums
from lnat_plugins.scorer import Backend, Candidate, EngineBackend, Scorer
from lnat_plugins.steps import SPLITTERS, StepSpec
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
        cache = Cache(lm)
        scorers: dict[_Key, Scorer] = {}
        replies: dict[int, Reply] = {}
        groups = _by_prompt(requests)
        with tqdm(
            total=sum(map(len, groups)),
            desc="Scoring responses",
            unit="response",
            disable=lm.rank != 0,
        ) as bar:
            for group in groups:
                key = _key(group[0])
                if key not in scorers:
                    settings = group[0].args[1]["settings"]
                    scorers[key] = _scorer(lm, backend, settings, steps_of(group[0]))
                records = _score(lm, scorers[key], cache, group, key.settings)
                replies |= {
                    id(one): Reply(record) for one, record in zip(group, records, strict=True)
                }
                bar.update(len(group))
        _tell(lm, backend)
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


class _Key(NamedTuple):
    """What requests must share to be scored alike.

    Two YAMLs may each bring a splitter of the same name and version: `splitter` tells the
    objects apart where they are not the same.
    """

    settings: str
    splitter: int


def _key(one: Instance) -> _Key:
    splitter = steps_of(one).splitter
    known = SPLITTERS.get(splitter.name, splitter) if splitter else None
    return _Key(fingerprint(one.args[1]["settings"]), id(known))


def _by_prompt(requests: Iterable[Instance]) -> list[list[Instance]]:
    groups: dict[tuple[str, _Key], dict[int, Instance]] = {}
    for one in requests:
        groups.setdefault((one.args[0], _key(one)), {})[id(one)] = one
    return [list(group.values()) for group in groups.values()]


def _scorer(
    lm: TemplateLM, backend: Backend, settings: Mapping[str, Any], steps: StepSpec
) -> Scorer:
    return Scorer(
        tokenizer=lm.tokenizer,
        backend=backend,
        spec=steps,
        windows=parse_windows(settings["windows"]),
        settings=settings,
        max_length=_context(lm),
        host={"lm_eval": importlib.metadata.version("lm_eval")},
    )


def _context(lm: TemplateLM) -> int | None:
    """Tokens of a request that are read; a longer request would be cut on its left.

    `hf` does not read a request's last token. The others do, and vLLM keeps one more place
    for a token that it generates.
    """
    length: int | None = getattr(lm, "max_length", None)
    return length if length is None or isinstance(lm, HFLM) else length - 2


def _score(
    lm: TemplateLM, scorer: Scorer, cache: Cache, group: Sequence[Instance], settings_hash: str
) -> list[StepSums]:
    prompt = lm.tok_encode(group[0].args[0])
    candidates = [_candidate(one) for one in group]
    records = [cache.find(prompt, one, settings_hash) for one in candidates]
    missing = [i for i, record in enumerate(records) if record is None]
    if missing:
        for i, record in zip(
            missing, scorer.score(prompt, [candidates[i] for i in missing]), strict=True
        ):
            cache.keep(prompt, candidates[i], record)
            records[i] = record
    return [record for record in records if record is not None]


def _candidate(one: Instance) -> Candidate:
    row = one.doc["responses"][one.idx]
    where = f"prompt {one.doc['prompt_id']}, teacher {row['teacher']}"
    return Candidate(row["teacher"], row["sample"], row["response"], row.get("steps"), where)


def _tell(lm: TemplateLM, backend: Backend) -> None:
    """Says how the scores came about, once a run."""
    if lm.rank != 0:
        return
    _log.info("Scored through the %s path", backend.path)
    if isinstance(backend, EngineBackend):
        if backend.engine.reason:
            _log.info("Not packed: %s", backend.engine.reason)
        _log.info("Read: %s", json.dumps(vars(backend.engine.counts)))
