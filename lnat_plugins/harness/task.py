"""The lm-eval task: a teacher set as documents, one prompt with all its responses each.

Data paths are relative to the YAML that the task came from. lm-eval names it in
`metadata.config_source` for tasks that it found by name or was given through its Python interface.
For `--tasks some/file.yaml` it says "inline", so the file is looked for among the command's own
arguments.
"""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from lm_eval.api.filter import Filter, FilterEnsemble
from lm_eval.api.instance import Instance
from lm_eval.api.task import Task
from lm_eval.config.task import TaskConfig

from lnat_plugins.errors import ConfigError, DataError, visible
from lnat_plugins.harness.command import no_template, plain_errors
from lnat_plugins.harness.definitions import (
    CONFIG,
    IDENTIFYING,
    definition_of,
    readable,
    yaml_files,
)
from lnat_plugins.harness.documents import (
    about_set,
    document_of,
    filter_name,
    run_settings,
    target_of,
    template_arguments,
)
from lnat_plugins.harness.prompt_scorer import REQUEST, template_options
from lnat_plugins.harness.requests import Request, install
from lnat_plugins.harness.results import Results, summary
from lnat_plugins.metrics.budgeted import metric_under
from lnat_plugins.scoring.chat import apply_template
from lnat_plugins.scoring.record import ScoredResponse, StepSums
from lnat_plugins.scoring.rows import Renderer
from lnat_plugins.scoring.ways import narrower_are_cheap, sampled
from lnat_plugins.teacher_set import Prompt
from lnat_plugins.teacher_set.prompts import Candidate, Candidates
from lnat_plugins.teacher_set.whole_conversations import first_scored, for_template

_INLINE: Final = "inline"
_OURS: Final = ("class", "naturalness", "include", "group", "tag", "task_list")

_log = logging.getLogger(f"lm_eval.{__name__}")


def source_of(config: Mapping[str, Any]) -> Path | str:
    """The YAML's path, or "<dict>" for a task defined in a program."""
    config_source = (config.get("metadata") or {}).get("config_source", _INLINE)
    if config_source != _INLINE:
        return Path(config_source)
    for path in _yaml_arguments():
        found = readable(path)
        if all(found.get(key) == config.get(key) for key in IDENTIFYING):
            return path
    return "<dict>"


def _yaml_arguments() -> Iterator[Path]:
    """YAML files that the command line, or its `--config`, names: by path, glob, list or folder.

    Not those under `--include_path`: a task found there by its name is not "inline".
    """
    for before, argument in itertools.pairwise(sys.argv):
        if before == "--include_path":
            continue
        given = argument.removeprefix("--tasks=").removeprefix("--config=")
        words = given.split(",")
        if before in CONFIG or argument.startswith("--config="):
            tasks = readable(Path(given)).get("tasks") or []
            words = tasks.split(",") if isinstance(tasks, str) else [*map(str, tasks)]
        yield from yaml_files(words)


@dataclass(frozen=True)
class FilteredReply:
    """A record as `process_results` gets it; written to the samples file as one line."""

    record: StepSums

    def __str__(self) -> str:
        return summary(self.record, self.record.settings["windows"][0])


class _FirstReply(Filter):
    """lm-eval's filter step: the first reply of each request."""

    def apply(self, resps: Any, docs: list[dict[str, Any]]) -> list[FilteredReply]:
        return [FilteredReply(replies[0].record) for replies in resps]


class NaturalnessTask(Task):
    """Ranks teachers by how natural their responses are to the model under evaluation.

    A document is one prompt with all its responses; there is one request a response. The
    figures are those of `metrics:`, `win_rate` and `coverage`, each for every teacher, averaged
    over prompts with lm-eval's standard error over prompts. The local score is that of the first
    window in the settings. `config` is the task's YAML as lm-eval loads it.
    """

    OUTPUT_TYPE = REQUEST

    def __init__(self, config: Mapping[str, Any]) -> None:
        with plain_errors():
            spec, registry, self._steps, windows, self.teacher_set, self._requested = definition_of(
                config, source_of(config)
            )
        for reason, count in self.teacher_set.dropped.items():
            _log.warning("%s: %d responses dropped: %s", spec.name, count, visible(reason))
        for note in self.teacher_set.all_notes:
            _log.warning("%s: %s", spec.name, visible(note))
        install()
        budget = spec.settings.budget
        budgeted = budget is not None
        metrics = [registry.metrics[name] for name in self._requested.names if not budgeted]
        metrics = [metric_under(budget.goal)] if budget else metrics
        self._results = Results(
            metrics, self._requested.optional, self.teacher_set.teachers, windows[0].name
        )
        self._tokens = spec.tokens and not budgeted
        self._sensitivity = "none" if budgeted else spec.sensitivity
        self._windows = windows
        self._sample: frozenset[str] = frozenset()
        self._narrower_everywhere = False
        self._docs: list[dict[str, Any]] = []
        self._candidates: dict[str, list[Candidate]] = {}
        self._keep(self.teacher_set.prompts)
        self._chat_template: Callable[..., str] | None = None
        self._system_instruction: str | None = None
        self._template_arguments: dict[str, Any] = {}
        self._instances: list[Instance] | None = None
        self._filters = [FilterEnsemble(filter_name(spec.settings.prefix), [_FirstReply])]
        # What lm-eval writes into its results file.
        metadata = {**(config.get("metadata") or {}), "naturalness": about_set(self.teacher_set)}
        own = {key: value for key, value in config.items() if key not in _OURS}
        own |= {"metadata": metadata, "output_type": REQUEST, "num_fewshot": 0}
        self._config = TaskConfig(**own)
        self.VERSION = metadata.get("version", 0)

    def has_training_docs(self) -> bool:
        """There is nothing to train on here."""
        return False

    def has_validation_docs(self) -> bool:
        """All prompts are test documents."""
        return False

    def has_test_docs(self) -> bool:
        """All prompts are test documents."""
        return True

    def test_docs(self) -> list[dict[str, Any]]:
        """One document a prompt, in the order of the data."""
        return self._docs

    def doc_to_text(self, doc: Mapping[str, Any]) -> str:
        """The prompt as plain text."""
        return str(doc["prompt"])

    def doc_to_target(self, doc: Mapping[str, Any]) -> str:
        """There is no right answer here: the teachers' names."""
        return target_of(doc)

    def build_all_requests(self, **options: Any) -> None:
        """As lm-eval does, without `--cache_requests`: it keeps requests by the task's name,
        so that those of other data or settings would be taken. Building ours costs nothing.
        """
        lm: Any = getattr(options.get("chat_template"), "__self__", None)
        if options.get("apply_chat_template") and lm is not None:
            if not getattr(lm.tokenizer, "chat_template", None):
                with plain_errors():
                    raise no_template(str(getattr(lm.tokenizer, "name_or_path", "")))
            self._read_template(lm.tokenizer, template_options(lm))
        if self._sensitivity != "none":
            chosen = options.get("samples")
            # As lm-eval reads them: each once and in the set's order; all if none is chosen.
            read = (
                [doc for i, doc in enumerate(self._docs) if i in chosen]
                if chosen
                else self._docs[: options.get("limit")]
            )
            self._sample = frozenset(read[i]["prompt_id"] for i in sampled(len(read)))
            texts = (str(row["response"]) for doc in read for row in doc["responses"])
            self._narrower_everywhere = narrower_are_cheap(texts, self._steps, self._windows)
        kept = {"cache_requests": False, "rewrite_requests_cache": False}
        super().build_all_requests(**options | kept)

    def _read_template(self, tokenizer: Any, arguments: Mapping[str, Any]) -> None:
        """Notes the arguments of `--model_args` that change what the template writes, and joins
        thinking that the data has apart as the student's own template does.
        """
        self._template_arguments = template_arguments(tokenizer, arguments)
        prompts = self.teacher_set.prompts
        if any(one.parts or one.turns for prompt in prompts for one in prompt.responses):
            own = Renderer(tokenizer, plain=False, arguments=arguments, strict=False).own
            self._keep([replace(one, responses=tuple(map(own, one.responses))) for one in prompts])

    def _keep(self, prompts: Sequence[Prompt]) -> None:
        """The documents, and the candidates that they stand for."""
        self._docs = [document_of(prompt) for prompt in prompts]
        self._candidates = {}
        for candidate in Candidates.of_prompts(prompts).rows:
            self._candidates.setdefault(candidate.prompt_id, []).append(candidate)

    def fewshot_context(
        self,
        doc: Mapping[str, Any],
        num_fewshot: int = 0,
        *,
        system_instruction: str | None = None,
        apply_chat_template: bool = False,
        chat_template: Callable[..., str] | None = None,
        **_: Any,
    ) -> str:
        """The rendered prompt: `--system_instruction` first, then the turns.

        With `--apply_chat_template` in the student's own template, ending where its turn
        begins; else as plain text, followed by `target_delimiter`.
        """
        if num_fewshot:
            with plain_errors():
                what = "a naturalness task takes no few-shot examples"
                raise ConfigError(what, found=num_fewshot)
        self._chat_template = chat_template if apply_chat_template else None
        self._system_instruction = system_instruction
        turns = [dict(turn) for turn in doc["messages"]]
        own = [one for row in doc["responses"] if (one := row.get("conversation_turns"))]
        if own:
            # With the calls of scripted turns, without which templates take no output of a tool.
            turns = for_template(own[0][: first_scored(own[0])])
        if system_instruction and own:
            with plain_errors():
                raise ConfigError(
                    "conversations are read behind their own system turns",
                    where="--system_instruction", found=system_instruction,
                    remedy="leave it out",
                )  # fmt: skip
        if self._chat_template is not None:
            if system_instruction and turns[0]["role"] in ("system", "developer"):
                with plain_errors():
                    raise DataError(
                        "the prompt has a system turn of its own beside `--system_instruction`",
                        where=f"prompt {doc['prompt_id']}", found=turns[0]["content"],
                        remedy="leave --system_instruction out",
                    )  # fmt: skip
            if system_instruction:
                turns.insert(0, {"role": "system", "content": system_instruction})
            with plain_errors():
                where = f"prompt {doc['prompt_id']}"
                return apply_template(partial(self._chat_template, turns), turns, where)
        opening = f"{system_instruction}\n\n" if system_instruction else ""
        return opening + str(doc["prompt"]) + self.teacher_set.settings.target_delimiter

    def construct_requests(self, doc: dict[str, Any], ctx: str, **kwargs: Any) -> list[Instance]:
        """One request a response, with all that decides its numbers."""
        settings = self.run_settings()
        return [
            Request(
                REQUEST,
                doc,
                (ctx, {key: row[key] for key in ("teacher", "sample")} | {"settings": settings}),
                idx=i,
                metadata=kwargs["metadata"],
                steps=self._steps,
                requested=self._requested,
                tokens=self._tokens,
                narrower=self._narrower_everywhere or doc["prompt_id"] in self._sample,
                variants=self._sensitivity == "full" and doc["prompt_id"] in self._sample,
            )
            for i, row in enumerate(doc["responses"])
        ]

    def run_settings(self) -> dict[str, Any]:
        """The set's settings and how the prompts are rendered in this run."""
        return run_settings(
            self.teacher_set.settings, self._steps, self._requested, self._chat_template,
            self._system_instruction, self._template_arguments,
        )  # fmt: skip

    def apply_filters(self) -> list[Instance] | None:
        """One reply a request, though lm-eval repeats some to give all ranks equally many."""
        for request in self._instances or ():
            del request.resps[1:]
        found: list[Instance] | None = super().apply_filters()
        return found

    def process_results(
        self, doc: Mapping[str, Any], results: Sequence[FilteredReply]
    ) -> dict[str, Any]:
        """The figures of one prompt."""
        candidates = self._candidates[str(doc["prompt_id"])]
        records = [reply.record for reply in results]
        return self._results.figures([*map(ScoredResponse, candidates, records)])

    def aggregation(self) -> dict[str, Callable[[list[Any]], float]]:
        """From the figures of prompts to those of the set."""
        return self._results.aggregation()

    def higher_is_better(self) -> dict[str, bool | None]:
        """The arrows of lm-eval's table."""
        return self._results.directions()
