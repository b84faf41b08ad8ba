"""Scores the prompts of one process, and keeps the records if `--use_cache` was given."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

from lm_eval.api.model import TemplateLM
from lm_eval.models.huggingface import HFLM

from lnat_plugins.harness.cache import RecordCache
from lnat_plugins.scoring.backend import Backend, PromptCalls, tokens_to_read
from lnat_plugins.scoring.part import Part
from lnat_plugins.scoring.prepared import Prepared, PreparedRows
from lnat_plugins.scoring.progress import ToRead
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.rows import Renderer, RowTokens, count_warned
from lnat_plugins.scoring.sanity import student_facts
from lnat_plugins.scoring.scorer import (
    PartOf,
    Scorer,
    part_of_rows,
    windows_of_parts,
)
from lnat_plugins.scoring.variants import calls_with_variants, score_with_variants
from lnat_plugins.steps import SPLITTERS, StepSpec
from lnat_plugins.steps.windows import Window, parse_windows
from lnat_plugins.teacher_set.config import fingerprint
from lnat_plugins.teacher_set.prompts import Message, Response

REQUEST: Final = "naturalness"


class PromptJob(NamedTuple):
    """One rendered prompt with its responses, to be scored by whichever rank.

    `task` and `prompt_id` are those of the first response's document. `messages` are the prompt's
    turns; of a plain prompt, one turn that holds it. `settings` are everything that decides the
    numbers, as JSON values.
    """

    task: str
    prompt_id: str
    prompt: str
    messages: tuple[Message, ...]
    settings: Mapping[str, Any]
    steps: StepSpec
    responses: tuple[Response, ...]
    statistics: frozenset[str]
    tokens: bool
    narrower: bool
    variants: bool


class PreparedPrompt(NamedTuple):
    """A prompt that is to be read.

    `records`: of each response, None if none was kept; `prepared`: the tokens of those without;
    `calls`: what is asked of the back end for them.
    """

    records: list[StepSums | None]
    prepared: PreparedRows
    calls: list[PromptCalls]


class PreparedParts(NamedTuple):
    """Some responses to a prompt, to be read in part.

    `kept`: index -> a record that was kept; `missing`: the indices of the others, with their
    tokens and what is read of each, see `scorer.part_of_rows`; `calls`: as in `PreparedPrompt`.
    """

    kept: dict[int, StepSums]
    missing: list[int]
    prepared: PreparedRows
    part_of: PartOf
    calls: list[PromptCalls]


class PromptScorer:
    """Scores prompts on this rank, and keeps the records if `--use_cache` was given."""

    def __init__(self, lm: TemplateLM, backend: Backend) -> None:
        self._lm = lm
        self.backend = backend
        self.cache = RecordCache(lm)
        self._scorers: dict[ScorerKey, Scorer] = {}

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
        for key, job in {scorer_key(job): job for job in jobs}.items():
            template = job.settings.get("chat_template") is not None
            if template not in facts:
                facts[template] = student_facts(
                    self._lm.tokenizer, self.backend, template=template, max_length=length
                )
            self._scorers[key] = Scorer(
                tokenizer=self._lm.tokenizer,
                backend=self.backend,
                spec=job.steps,
                windows=_windows_of(job.settings),
                settings=job.settings,
                max_length=length,
                host={"lm_eval": importlib.metadata.version("lm_eval")},
                statistics=job.statistics,
                narrower=job.narrower,
                tokens=job.tokens,
                student=facts[template],
            )

    def close(self) -> None:
        """Closes the cache."""
        self.cache.close()

    def look_up(self, job: PromptJob) -> tuple[list[str], list[StepSums] | None]:
        """What the records of a prompt are looked up by, and the records if all were kept."""
        digests = [row.digest for row in self._render(job)]
        return digests, self.cached(job, digests)

    def cached(self, job: PromptJob, digests: Sequence[str]) -> list[StepSums] | None:
        """The records of a prompt if all its responses were kept.

        Args:
            digests: of the ids of each row.
        """
        records = self._cached(digests, job)
        return None if None in records else [record for record in records if record is not None]

    def prepare(self, job: PromptJob) -> PreparedPrompt:
        """What needs no student."""
        return self._prepare(job, self._render(job))

    def _prepare(self, job: PromptJob, rows: Sequence[RowTokens]) -> PreparedPrompt:
        records = self._cached([row.digest for row in rows], job)
        missing = [i for i, record in enumerate(records) if record is None]
        scorer = self._scorer(job)
        prepared = scorer.prepare_rows(
            [rows[i] for i in missing], [job.responses[i] for i in missing]
        )
        calls_of = calls_with_variants if job.variants else Scorer.calls
        return PreparedPrompt(records, prepared, prepared.calls(partial(calls_of, scorer)))

    def to_read(self, job: PromptJob) -> ToRead:
        """What the student will read of a prompt; raises as `prepare`."""
        rows = self._render(job)
        warned = count_warned(rows)
        records, _, calls = self._prepare(job, rows)
        if not calls:
            return ToRead(warned=warned)
        tokens = tokens_to_read(self.backend, calls)
        read = [r for r, kept in zip(job.responses, records, strict=True) if kept is None]
        return ToRead(1, len(read), frozenset(one.teacher for one in read), tokens, warned)

    @contextmanager
    def reading(self, ready: Iterable[PreparedPrompt | PreparedParts]) -> Iterator[None]:
        """While it lasts, the prompts of a group are scored, which are read together."""
        with self.backend.reading([one for each in ready for one in each.calls]):
            yield
        # The records of a group are kept together, so that a run that goes on has the same groups.
        self.cache.write()

    def score(self, job: PromptJob, ready: PreparedPrompt) -> list[StepSums]:
        """The records of a prompt, from what `prepare` returned."""
        scorer = self._scorer(job)

        def scored(part: Prepared) -> list[StepSums]:
            new = (score_with_variants if job.variants else Scorer.score_prepared)(scorer, part)
            self.cache.keep(part.responses, new)
            return new

        new = iter(ready.prepared.score(scored))
        return [record or next(new) for record in ready.records]

    def unread(self, job: PromptJob) -> list[StepSums]:
        """What is known of a prompt's responses before they are read."""
        prepared = self._scorer(job).prepare_rows(self._render(job), job.responses)
        return prepared.score(self._scorer(job).unread)

    def prepare_parts(self, job: PromptJob, parts: Mapping[int, Part]) -> PreparedParts:
        """What needs no student, for some of a prompt's responses.

        Args:
            parts: index of a response -> what is read of it.
        """
        rows, settings_hash = self._render(job), fingerprint(job.settings)
        kept = {
            i: record
            for i, part in parts.items()
            if (record := self.cache.find(
                rows[i].digest, job.responses[i], settings_hash, frozenset(), part
            ))
        }  # fmt: skip
        missing = [i for i in parts if i not in kept]
        prepared = self._scorer(job).prepare_rows(
            [rows[i] for i in missing], [job.responses[i] for i in missing]
        )
        part_of = part_of_rows([rows[i] for i in missing], [parts[i] for i in missing])
        calls = prepared.calls(partial(self._scorer(job).calls, part_of=part_of))
        return PreparedParts(kept, missing, prepared, part_of, calls)

    def score_parts(self, job: PromptJob, ready: PreparedParts) -> dict[int, StepSums]:
        """Index of a response -> its record."""
        scorer = self._scorer(job)

        def scored(part: Prepared) -> list[StepSums]:
            new = scorer.score_prepared(part, ready.part_of)
            self.cache.keep(part.responses, new)
            return new

        new = ready.prepared.score(scored)
        return ready.kept | dict(zip(ready.missing, new, strict=True))

    def _render(self, job: PromptJob) -> list[RowTokens]:
        plain = job.settings.get("chat_template") is None
        renderer = Renderer(
            self._lm.tokenizer, plain, template_options(self._lm), strict=False,
            observations=job.settings.get("observations", "window"),
        )  # fmt: skip
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
        return self._scorers[scorer_key(job)]


def about_tokens(job: PromptJob) -> int:
    """About how many tokens are read for a prompt, by its characters.

    So it is alike whether records of it were kept or not: a run that goes on has the same groups of
    prompts, and with them the same numbers to the last bit.
    """
    widest = max((window.count or 0 for window in _windows_of(job.settings)), default=0)
    part = job.steps.prefix
    texts = [one.text if part is None else part.beginning(one.text) for one in job.responses]
    n_characters = sum(map(len, texts))
    return (len(job.prompt) + (1 + widest) * n_characters) // 4


def _windows_of(settings: Mapping[str, Any]) -> tuple[Window, ...]:
    windows = parse_windows(settings["windows"])
    return windows_of_parts(windows) if settings.get("budget") else windows


ScorerKey = tuple[str, int, frozenset[str], tuple[bool, bool, bool]]


def scorer_key(job: PromptJob) -> ScorerKey:
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


def template_options(lm: Any) -> dict[str, Any]:
    """What `--model_args` gives to the chat template in every row."""
    options = dict(getattr(lm, "chat_template_args", None) or {})
    # `hf` keeps this one among the others; vLLM and TensorRT-LLM apart.
    thinking = getattr(lm, "enable_thinking", None)
    return options if thinking is None else {"enable_thinking": thinking, **options}
