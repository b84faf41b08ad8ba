"""A student in this process: its scores and token counts, for trainers and notebooks."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol

from lnat_plugins.engine.engine import Engine
from lnat_plugins.errors import StudentError, visible
from lnat_plugins.scoring import chat
from lnat_plugins.scoring.backend import PromptCalls, tokens_to_read
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.parallel import Processes, groups_of, score_prompts
from lnat_plugins.scoring.part import Part
from lnat_plugins.scoring.prepared import PreparedRows
from lnat_plugins.scoring.progress import TokenBar, ToRead, counting_bar, print_line
from lnat_plugins.scoring.record import RequestedMetrics, StepSums
from lnat_plugins.scoring.rows import WARNED, Renderer, RowTokens, count_warned
from lnat_plugins.scoring.sanity import student_facts
from lnat_plugins.scoring.scorer import (
    PartOf,
    Scorer,
    part_of_rows,
    windows_of_parts,
)
from lnat_plugins.scoring.served import Served
from lnat_plugins.scoring.variants import calls_with_variants, score_with_variants
from lnat_plugins.scoring.vllm_backend import ServedByVllm, is_llm
from lnat_plugins.scoring.ways import extra_of
from lnat_plugins.scoring.whole_conversations import turns_cut
from lnat_plugins.steps import StepSpec
from lnat_plugins.steps.windows import Window
from lnat_plugins.teacher_set.config import Sensitivity, Settings
from lnat_plugins.teacher_set.prompts import Candidate, Candidates

_log = logging.getLogger(__name__)

_CONTEXT: Final = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")


class ScoringPlan(Protocol):
    """How rows are scored: what `api.score` resolves, or a `SelectionSpec`."""

    @property
    def settings(self) -> Settings:
        """As written."""

    @property
    def steps(self) -> StepSpec:
        """How responses are cut."""

    @property
    def windows(self) -> tuple[Window, ...]:
        """Under which windows."""

    @property
    def requested(self) -> RequestedMetrics:
        """For which metrics, so which statistics are gathered beside log-probabilities."""

    @property
    def tokens(self) -> bool:
        """Whether records keep the numbers of every token."""

    @property
    def sensitivity(self) -> Sensitivity:
        """What is scored beside the windows asked for; see `teacher_set.config.TaskSpec`."""


class LocalStudent:
    """A model and its tokenizer, with the settings that decide their scores.

    Under several processes (accelerate, torchrun) every process must call the same methods with
    the same rows: prompts are shared out by length, and each process gets all scores.

    Args:
        model: a transformers causal language model, PEFT included; left as it was found. Its
            unwrapped self, never one prepared for distributed training. Or a `vllm.LLM`, or an
            `SglangServer`.
        tokenizer: its fast tokenizer, with the chat template that training will use.
        plain: see `Candidates.plain`.
        training: whether the rows are to be trained on in this template. Then a response that
            training would change is refused.
        processes: those that share the work; by default accelerate's.
        progress: whether the plan and the bar are shown, where bars are on.

    Raises:
        StudentError: no model, or no tokenizer.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        plan: ScoringPlan,
        *,
        plain: bool,
        training: bool = True,
        processes: Processes | None = None,
        progress: bool = True,
    ) -> None:
        if is_llm(model):
            model = ServedByVllm(model)
        if not isinstance(model, Served) and not (hasattr(model, "config") and callable(model)):
            raise StudentError(
                "this is not a transformers model", where="model", found=model,
                remedy="load it first: AutoModelForCausalLM.from_pretrained(...), or vllm.LLM(...)",
            )  # fmt: skip
        if not callable(tokenizer):
            raise StudentError(
                "this is not a tokenizer", where="tokenizer", found=tokenizer,
                remedy="load it first: AutoTokenizer.from_pretrained(...)",
            )  # fmt: skip
        known_as = (
            model.name if isinstance(model, Served) else getattr(model.config, "_name_or_path", "")
        )
        self.name = str(known_as or type(model).__name__)
        self._model = model
        self._tokenizer = tokenizer
        self._plan = plan
        self._plain = plain
        self._renderer = Renderer(tokenizer, plain, strict=training)
        self._scored = replace(self._renderer, observations=plan.settings.observations)
        self._processes = processes or Processes()
        self._shown = progress and self._processes.main
        self._records: dict[int, StepSums] = {}
        self._own_scorer: Scorer | None = None

    @property
    def records(self) -> Mapping[int, StepSums]:
        """Index of each row scored so far -> its step sums."""
        return self._records

    def own(self, candidates: Candidates) -> Candidates:
        """The rows with thinking that stands apart joined as the student's template does."""
        rows = (replace(row, response=self._renderer.own(row.response)) for row in candidates.rows)
        return replace(candidates, rows=tuple(rows))

    def score(self, rows: Sequence[Candidate]) -> list[StepSums]:
        """Step sums of each response; a row that was scored before is not scored again."""
        missing = [row for row in rows if row.index not in self._records]
        if missing:
            self._records |= self._score(missing)
        return [self._records[row.index] for row in rows]

    def unread(self, rows: Sequence[Candidate]) -> list[StepSums]:
        """What is known of responses before they are read: their steps and tokens, no sums."""
        scorer, groups = self._ready(rows)

        def known(share: Sequence[list[Candidate]]) -> list[list[StepSums]]:
            return [self._prepare(scorer, own)[0].score(scorer.unread) for own in share]

        return _in_order(rows, groups, self._processes.share(groups, known))

    def score_parts(self, rows: Sequence[Candidate], parts: Sequence[Part]) -> list[StepSums]:
        """The records of responses of which these parts are read, each anew."""
        scorer, groups = self._ready(rows)
        part = {row.index: each for row, each in zip(rows, parts, strict=True)}

        def prepare(i: int) -> tuple[PreparedRows, PartOf]:
            prepared, tokens = self._prepare(scorer, groups[i])
            return prepared, part_of_rows(tokens, [part[row.index] for row in groups[i]])

        def reading(
            ready: Sequence[tuple[PreparedRows, PartOf]],
        ) -> AbstractContextManager[None]:
            return scorer.backend.reading(
                [
                    one
                    for prepared, part_of in ready
                    for one in prepared.calls(partial(scorer.calls, part_of=part_of))
                ]
            )

        def score(i: int, ready: tuple[PreparedRows, PartOf]) -> list[StepSums]:
            prepared, part_of = ready
            return prepared.score(partial(scorer.score_prepared, part_of=part_of))

        costs = [sum(len(row.text) for row in own) for own in groups]
        bar = TokenBar(0, scorer.backend, shown=False, announce=print_line)
        found = score_prompts(
            costs, prepare, score, bar, self._processes,
            groups=groups_of(costs, self._at_once(scorer)), reading=reading,
        )  # fmt: skip
        return _in_order(rows, groups, [found[i] for i in range(len(groups))])

    def _ready(self, rows: Sequence[Candidate]) -> tuple[Scorer, list[list[Candidate]]]:
        """The scorer, and the rows by prompt."""
        if self._own_scorer is None:
            self._own_scorer = self._processes.together(self._scorer)
        return self._own_scorer, _by_prompt(rows)

    def _at_once(self, scorer: Scorer) -> int:
        """Tokens that are read together: alike in all processes, whose memory may differ."""
        return min(self._processes.gather(scorer.backend.at_once))

    def _prepare(
        self, scorer: Scorer, rows: Sequence[Candidate]
    ) -> tuple[PreparedRows, list[RowTokens]]:
        tokens = [*map(self._scored.row, rows)]
        return scorer.prepare_rows(tokens, [row.response for row in rows]), tokens

    def response_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of each response alone."""
        return [len(self._renderer.row(row).response.ids) for row in rows]

    def training_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of each row as TRL's SFTTrainer reads it before it cuts."""
        return [self._renderer.row(row).n_tokens for row in rows]

    def turns_cut(
        self, rows: Sequence[Candidate], limit: int, *, from_start: bool = False
    ) -> tuple[int, int]:
        """Of conversations the turns that lose tokens where rows are cut, and all turns.

        Args:
            limit: tokens of a row that are kept.
            from_start: whether a row's beginning is cut off, not its end.
        """
        rendered = (self._renderer.row(row) for row in rows if row.response.turns is not None)
        found = [
            turns_cut(len(row.prompt), row.response, row.n_tokens, limit, from_start=from_start)
            for row in rendered
        ]
        return sum(cut for cut, _ in found), sum(turns for _, turns in found)

    def training_ids(self, rows: Sequence[Candidate]) -> Iterator[list[int]]:
        """The token ids of each row as TRL's SFTTrainer reads it before it cuts."""
        return (self._renderer.row(row).ids.tolist() for row in rows)

    def training_notes(self, rows: Sequence[Candidate]) -> dict[str, int]:
        """In what training reads rows otherwise than a reader would expect -> number of rows.

        Raises, in every process, as `Renderer.row`.
        """
        ranks = self._processes
        first, end = (len(rows) * rank // ranks.count for rank in (ranks.rank, ranks.rank + 1))
        own = ranks.together(lambda: count_warned(map(self._renderer.row, rows[first:end])))
        counts: Counter[str] = Counter()
        for part in ranks.gather(own):
            counts += Counter(part)
        return {text: counts[text] for text in WARNED.values() if counts[text]}

    def _score(self, rows: Sequence[Candidate]) -> dict[int, StepSums]:
        for row in rows:
            self._plan.requested.check_reward(row.response)
        scorer, groups = self._ready(rows)

        extra = extra_of(
            self._plan.sensitivity, len(groups), [row.text for row in rows], scorer.spec,
            scorer.windows,
        )  # fmt: skip
        asked_for = replace(scorer, narrower=False)

        def calls(i: int, prepared: PreparedRows) -> list[PromptCalls]:
            own = scorer if extra.narrower_in(i) else asked_for
            calls_of = calls_with_variants if extra.variants_in(i) else Scorer.calls
            return prepared.calls(partial(calls_of, own))

        def to_read(i: int) -> ToRead:
            prepared, tokens = self._prepare(scorer, groups[i])
            return ToRead(
                1, len(groups[i]), frozenset(row.teacher for row in groups[i]),
                tokens_to_read(scorer.backend, calls(i, prepared)), count_warned(tokens),
            )  # fmt: skip

        def count(share: Sequence[int]) -> list[ToRead]:
            with counting_bar(share, shown=self._shown) as bar:
                return [to_read(i) for i in bar]

        def prepare(i: int) -> tuple[PreparedRows, list[PromptCalls]]:
            prepared = self._prepare(scorer, groups[i])[0]
            return prepared, calls(i, prepared)

        def reading(
            ready: Sequence[tuple[PreparedRows, list[PromptCalls]]],
        ) -> AbstractContextManager[None]:
            return scorer.backend.reading([one for _, own in ready for one in own])

        def score(i: int, ready: tuple[PreparedRows, list[PromptCalls]]) -> list[StepSums]:
            prepared, _ = ready
            own = scorer if extra.narrower_in(i) else asked_for
            if extra.variants_in(i):
                return prepared.score(partial(score_with_variants, own))
            return prepared.score(own.score_prepared)

        counted = self._processes.share(range(len(groups)), count)
        plan = sum(counted, ToRead())
        for note, n_rows in plan.warned.items() if self._processes.main else ():
            _log.warning("%d of %d responses: %s", n_rows, len(rows), visible(note))
        if self._shown:
            print_line(f"plan: {plan.in_words()}")
        costs = [one.tokens.tokens for one in counted]
        bar = TokenBar(sum(costs), scorer.backend, shown=self._shown, announce=print_line)
        records = score_prompts(
            costs, prepare, score, bar, self._processes,
            groups=groups_of(costs, self._at_once(scorer)), reading=reading,
        )  # fmt: skip
        found = _in_order(rows, groups, [records[i] for i in range(len(groups))])
        return {row.index: record for row, record in zip(rows, found, strict=True)}

    def _scorer(self) -> Scorer:
        template = None if self._plain else partial(chat.render, self._tokenizer)
        settings = self._plan.settings.as_dict() | {
            "metrics": list(self._plan.requested.names),
            # Plain prompts bring their own delimiter, and so does a template.
            "target_delimiter": "",
            "splitter": str(self._plan.steps),
            "chat_template": chat.template_digest(template),
            "system_instruction": None,
        }
        model = self._model
        served = isinstance(model, Served)
        backend = model.backend() if served else EngineBackend(Engine(model))
        max_length = model.context if served else context_of(model.config)
        self._plan.requested.check_student(backend.unavailable)
        return Scorer(
            tokenizer=self._tokenizer,
            backend=backend,
            spec=self._plan.steps,
            windows=windows_of_parts(self._plan.windows)
            if self._plan.settings.budget
            else self._plan.windows,
            settings=settings,
            max_length=max_length,
            statistics=self._plan.requested.statistics,
            tokens=self._plan.tokens,
            student=student_facts(
                self._tokenizer, backend, template=template is not None, max_length=max_length
            ),
        )


def _by_prompt(rows: Sequence[Candidate]) -> list[list[Candidate]]:
    prompts: dict[str, list[Candidate]] = {}
    for row in rows:
        prompts.setdefault(row.prompt_id, []).append(row)
    return list(prompts.values())


def _in_order(
    rows: Sequence[Candidate], groups: Sequence[Sequence[Candidate]],
    records: Sequence[Sequence[StepSums]],
) -> list[StepSums]:  # fmt: skip
    """The records of rows, from those of their prompts."""
    found = {
        row.index: record
        for group, own in zip(groups, records, strict=True)
        for row, record in zip(group, own, strict=True)
    }
    return [found[row.index] for row in rows]


def context_of(config: Any) -> int | None:
    """Tokens that a model can read at once, or None if its configuration names no limit."""
    config = config.get_text_config(decoder=True)
    found = (getattr(config, name, None) for name in _CONTEXT)
    return next((int(value) for value in found if isinstance(value, int)), None)
