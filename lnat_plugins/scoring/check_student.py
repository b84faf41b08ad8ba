"""What a student would read of a teacher set: one pass over the rows, of which nothing is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from lnat_plugins.engine.cost import Shape, cost_of
from lnat_plugins.engine.engine import Engine
from lnat_plugins.engine.packed import unsupported
from lnat_plugins.engine.planning import Planned, Planner
from lnat_plugins.engine.projection import last_up_projection
from lnat_plugins.errors import StudentError
from lnat_plugins.files import (
    ADAPTER,
    check_model_folder,
    is_adapter,
    parse_json,
    student_folder,
)
from lnat_plugins.scoring.backend import tokens_to_read
from lnat_plugins.scoring.chat import load_tokenizer, render
from lnat_plugins.scoring.check import (
    ALL_METRICS,
    AS_SET,
    WHOLE,
    CutResponse,
    NoteOnRows,
    StudentCheck,
    Trial,
)
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.prepared import PreparedRows
from lnat_plugins.scoring.progress import counting_bar
from lnat_plugins.scoring.rows import (
    END,
    MERGED,
    NOT_TRAINED,
    OPENED,
    OTHER_PROMPT,
    Renderer,
    RowTokens,
)
from lnat_plugins.scoring.scorer import Scorer
from lnat_plugins.scoring.student import ScoringPlan, context_of
from lnat_plugins.scoring.tokens import EncodedResponse, encode_response, tags_in
from lnat_plugins.scoring.variants import calls_with_variants
from lnat_plugins.scoring.ways import extra_of
from lnat_plugins.teacher_set import Candidate, Candidates, Prompt, Response, TeacherSet
from lnat_plugins.teacher_set.template_columns import template_arguments

_TRIAL_PROMPTS: Final = 24
_TRIAL_SECONDS: Final = 15.0
_LONGEST_PROMPT: Final = 60.0
"""Seconds; a prompt that would take longer, by the rate of one short response, is not read."""
_CUT: Final = 3
_EXAMPLE: Final = 60


@dataclass(frozen=True)
class OpenedStudent:
    """A student as far as it is needed.

    Attributes:
        name: folder or name on the Hub.
        tokenizer: fast.
        context: tokens that it reads at once, None if there is no limit.
        backend: over an engine, or over a planner where no model was loaded.
        shape: what decides its work.
        device: where the model is, "" if none was loaded.
        reason: why the packed pass is not used, where no model was loaded.
    """

    name: str
    tokenizer: Any
    context: int | None
    backend: EngineBackend
    shape: Shape
    device: str = ""
    reason: str = ""


def open_student(name: str, *, device: str | None = None, model: bool = True) -> OpenedStudent:
    """Load the tokenizer and the configuration, and the model as lm-eval's `hf` does.

    Args:
        name: folder, or name on the Hub.
        device: of the model; by default CUDA where there is one.
        model: whether the weights are loaded. If not, the pass that reads is known by the
            configuration.

    Raises:
        StudentError: something of it cannot be loaded.
    """
    if model:
        loaded, tokenizer = load_student(name, device=device)
        on = loaded.device
        shown = torch.cuda.get_device_name(on) if on.type == "cuda" else str(device or on.type)
        backend = EngineBackend(Engine(loaded))
        shape = Shape.of_model(loaded)
        return OpenedStudent(name, tokenizer, context_of(loaded.config), backend, shape, shown)
    tokenizer = _tokenizer(name)
    empty = _without_weights(name)
    reason = unsupported(empty)
    planner = Planner(
        "batched" if reason else "packed", has_activations=last_up_projection(empty) is not None
    )
    context = context_of(empty.config)
    backend = EngineBackend(planner)
    return OpenedStudent(name, tokenizer, context, backend, Shape.of_model(empty), "", reason)


def _without_weights(name: str) -> Any:
    """A model on the meta device, by its configuration."""
    with _one_line(name):
        config = AutoConfig.from_pretrained(name)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]


def shape_of(student: Any) -> Shape:
    """The shape of a student given by folder or name, by configuration, or as it is.

    Raises:
        StudentError: its configuration cannot be loaded.
    """
    if isinstance(student, Shape):
        return student
    if isinstance(student, PretrainedConfig):
        return Shape.of_config(student)
    name = student_folder(str(student))
    check_model_folder(name, "estimate_cost: student")
    return Shape.of_model(_without_weights(name))


def load_student(
    name: str, *, device: str | None = None, dtype: str = "auto", option: str = "--student"
) -> tuple[Any, Any]:
    """The model, as lm-eval's `hf` loads it, and its tokenizer.

    Args:
        name: folder, or name on the Hub; or the folder of an adapter, whose base model is loaded
            with it, and whose tokenizer is the base model's if the folder holds none.
        device: by default CUDA where there is one.
        dtype: of the weights; "auto" as they were saved.
        option: what names the student, for messages.

    Raises:
        StudentError: something of it cannot be loaded.
    """
    adapter = is_adapter(name)
    tokenizer = _tokenizer_of_adapter(name, option) if adapter else _tokenizer(name, option)
    with _one_line(name):
        kind: Any = AutoModelForCausalLM
        if adapter:
            from peft import AutoPeftModelForCausalLM  # takes seconds to load

            kind = AutoPeftModelForCausalLM
        loaded: Any = kind.from_pretrained(name, dtype=dtype)
        loaded.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return loaded, tokenizer


def _tokenizer(name: str, option: str = "--student") -> Any:
    check_model_folder(name, option)
    return load_tokenizer(name, remedy=f"give {option} a folder with the student's files")


def _tokenizer_of_adapter(name: str, option: str) -> Any:
    """The adapter's own tokenizer, else its base model's."""
    folder = Path(name)
    if not (folder / "tokenizer_config.json").is_file():
        try:
            settings = parse_json((folder / ADAPTER).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            settings = None
        base = isinstance(settings, dict) and settings.get("base_model_name_or_path")
        if not isinstance(base, str):
            raise StudentError(
                "the adapter does not say of which model it is", where=name,
                found="no base_model_name_or_path in adapter_config.json",
                remedy=f"give {option} the folder that PEFT's save_pretrained wrote",
            )  # fmt: skip
        name = base
    return load_tokenizer(name, remedy="save the base model's tokenizer into the adapter's folder")


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """What transformers and torch raise where they cannot load, as one line."""
    try:
        yield
    # torch without CUDA refuses to move a model there by an assertion.
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, AssertionError) as cause:
        first, *_ = str(cause).strip().splitlines() or [type(cause).__name__]
        raise StudentError(
            f"the student cannot be loaded: {first.rstrip('.')}", where=name,
            remedy="give a folder that save_pretrained wrote, and a device that is there",
        ) from None  # fmt: skip


def check_student(
    teacher_set: TeacherSet, student: OpenedStudent, plan: ScoringPlan, every: ScoringPlan,
    *, plain: bool,
) -> StudentCheck:  # fmt: skip
    """What the student would read of a teacher set, and what training would read otherwise.

    Args:
        teacher_set: loaded.
        student: its model is used for a trial, where it has one.
        plan: how lm_eval would score the set.
        every: the same for all metrics.
        plain: see `Candidates.plain`.

    Raises:
        StudentError, DataError: rows that cannot be rendered or cut, as `lm_eval` would raise.
    """
    reader = _Reader(teacher_set, student, plan, plain)
    plan.requested.check_student(student.backend.unavailable)
    trial = reader.trial() if student.device else None
    counters = reader.counters(every)
    planned = dict.fromkeys(counters, Planned())
    cut = _chosen(teacher_set)
    shown: dict[str, CutResponse] = {}
    notes: dict[str, NoteOnRows] = {}
    longest, too_long = (0, ""), 0
    for i, prompt in enumerate(counting_bar(teacher_set.prompts, shown=True)):
        candidates = reader.candidates(prompt)
        rows = [reader.renderer.row(row) for row in candidates]
        prepared = reader.scorer.prepare_rows(rows, [row.response for row in candidates])
        for name, count in counters.items():
            planned[name] += count(i, prepared)
        read = prepared.lengths
        for place, (candidate, row) in enumerate(zip(candidates, rows, strict=True)):
            n_tokens = len(row.prompt) + len(row.response.ids)
            longest = max(longest, (n_tokens, candidate.response.where), key=lambda one: one[0])
            # The last token is predicted, not read.
            too_long += student.context is not None and read[place] - 1 > student.context
            for note in row.notes:
                known = notes.get(note)
                notes[note] = (
                    replace(known, rows=known.rows + 1)
                    if known
                    else NoteOnRows(
                        note, 1, candidate.response.where, reader.example(note, candidate, row)
                    )
                )
            if cut.get(candidate.teacher) == i and candidate.teacher not in shown:
                shown[candidate.teacher] = _cut(candidate, row, plan)
    return StudentCheck(
        name=student.name,
        plain=plain,
        path=student.backend.path,
        reason=student.backend.engine.reason or student.reason,
        cut=tuple(shown.values()),
        planned=planned,
        longest=longest,
        context=student.context,
        too_long=too_long,
        notes=tuple(notes.values()),
        refused=_refused(notes, student, plain),
        trial=trial,
        cost=cost_of(planned[AS_SET], student.shape),
        unused_template=plain and bool(student.tokenizer.chat_template),
    )


def _refused(notes: dict[str, NoteOnRows], student: OpenedStudent, plain: bool) -> str:
    if plain and not student.tokenizer.eos_token:
        return "every row: the student's tokenizer has no end-of-text token"
    if NOT_TRAINED in notes:
        return f"{notes[NOT_TRAINED].rows} of these rows: {NOT_TRAINED}"
    return ""


def _chosen(teacher_set: TeacherSet) -> dict[str, int]:
    """Teacher -> the prompt whose response is shown: of three teachers, from different prompts."""
    found: dict[str, int] = {}
    for teacher in teacher_set.teachers[:_CUT]:
        own = (
            i
            for i, prompt in enumerate(teacher_set.prompts)
            if any(response.teacher == teacher for response in prompt.responses)
        )
        first = next(own)
        found[teacher] = next((i for i in (first, *own) if i not in found.values()), first)
    return found


def _cut(row: Candidate, tokens: RowTokens, plan: ScoringPlan) -> CutResponse:
    encoded: EncodedResponse = encode_response(
        tokens.response, row.text, plan.steps, row.response.steps, row.response.where
    )
    tags = tags_in(row.text, tokens.response.turns) if plan.steps.markers == "skip" else []
    counts = encoded.tokens_per_step if encoded.scored.any() else (0,)
    of_tags = encoded.tags_per_step or (0,) * len(counts)
    texts = [_marked(row.text, start, end, tags) for start, end in encoded.spans]
    steps = tuple(zip(counts, of_tags, texts, strict=True))
    whole = encoded.whole and (encoded.whole.steps, len(encoded.whole.ids))
    return CutResponse(row.teacher, row.prompt_id, row.response.where, steps, whole)


def _marked(text: str, start: int, end: int, tags: Sequence[tuple[int, int]]) -> str:
    """A piece of the text with brackets around its tags."""
    parts = []
    for first, last in tags:
        if start <= first < end:
            parts += [text[start:first], "[", text[first:last], "]"]
            start = last
    return "".join([*parts, text[start:end]])


class _Reader:
    """The scorers and the renderer of a check."""

    def __init__(
        self, teacher_set: TeacherSet, student: OpenedStudent, plan: ScoringPlan, plain: bool
    ) -> None:
        self._set = teacher_set
        self._student = student
        self._plan = plan
        self._plain = plain
        self.renderer = Renderer(
            student.tokenizer, plain, strict=False, observations=plan.settings.observations
        )
        self.scorer = Scorer(
            tokenizer=student.tokenizer,
            backend=student.backend,
            spec=plan.steps,
            windows=plan.windows,
            settings=plan.settings.as_dict(),
            max_length=student.context,
            statistics=plan.requested.statistics,
            tokens=plan.tokens,
        )

    def candidates(self, prompt: Prompt) -> tuple[Candidate, ...]:
        """The rows of a prompt, as lm_eval renders them."""
        delimiter = self._set.settings.target_delimiter
        rows = Candidates.of_prompts([prompt], plain=self._plain, delimiter=delimiter).rows
        return tuple(replace(row, response=self.renderer.own(row.response)) for row in rows)

    def counters(self, every: ScoringPlan) -> dict[str, Callable[[int, PreparedRows], Planned]]:
        """Name -> what counts the tokens to be read for the prompt of that index."""
        prompts = self._set.prompts
        texts = [response.text for prompt in prompts for response in prompt.responses]
        plan, scorer = self._plan, self.scorer
        extra = extra_of(plan.sensitivity, len(prompts), texts, plan.steps, plan.windows)

        def with_extra(own: Scorer, i: int, prepared: PreparedRows) -> Planned:
            own = narrow[id(own)] if extra.narrower_in(i) else own
            calls_of = calls_with_variants if extra.variants_in(i) else Scorer.calls
            return tokens_to_read(own.backend, prepared.calls(partial(calls_of, own)))

        asked = replace(scorer, narrower=False)
        all_metrics = replace(asked, statistics=every.requested.statistics)
        narrow = {id(own): replace(own, narrower=True) for own in (asked, all_metrics)}
        found: dict[str, Callable[[int, PreparedRows], Planned]] = {
            AS_SET: partial(with_extra, asked)
        }
        if plan.steps.prefix is not None:
            found[WHOLE] = lambda i, prepared: with_extra(asked, i, prepared.whole(scorer.prepare))
        for window in plan.windows:
            alone = replace(asked, windows=(window,), statistics=frozenset(), tokens=False)
            found[f"window {window.name}"] = _counter(alone)
        found[ALL_METRICS] = partial(with_extra, all_metrics)
        return found

    def trial(self) -> Trial:
        """Scores a few prompts, evenly spread, for some seconds.

        The shortest response comes first: it warms up, tries the packed pass, and says how long a
        prompt will take. Where that is too long (a CPU, long conversations) it is all that is read.
        """
        prompts, backend = self._set.prompts, self._student.backend
        n = min(_TRIAL_PROMPTS, len(prompts))
        least = min(prompts, key=lambda prompt: len(_shortest(prompt).text))
        alone = self.prepared(replace(least, responses=(_shortest(least),)))
        found = self._timed(alone, 0)
        if found.seconds < _LONGEST_PROMPT:
            found = self._timed(alone, 0)
        for k in range(n):
            prepared = self.prepared(prompts[k * len(prompts) // n])
            tokens = tokens_to_read(backend, prepared.calls(self.scorer.calls)).tokens
            spent = found.seconds if found.prompts else 0.0
            limit = _TRIAL_SECONDS if found.prompts else _LONGEST_PROMPT
            # Nothing is read of what is too long for the student.
            if not found.tokens or spent + tokens / found.rate > limit:
                break
            one = self._timed(prepared, 1)
            if not found.prompts:
                found = one
                continue
            both = found.prompts + 1, found.tokens + one.tokens, found.seconds + one.seconds
            found = Trial(one.device, *both)
        return found

    def prepared(self, prompt: Prompt) -> PreparedRows:
        """Steps and tokens of a prompt's responses."""
        candidates = self.candidates(prompt)
        rows = [*map(self.renderer.row, candidates)]
        return self.scorer.prepare_rows(rows, [row.response for row in candidates])

    def _timed(self, prepared: PreparedRows, prompts: int) -> Trial:
        backend = self._student.backend
        before, start = backend.tokens_read, time.perf_counter()
        prepared.score(self.scorer.score_prepared)
        seconds = time.perf_counter() - start
        return Trial(self._student.device, prompts, backend.tokens_read - before, seconds)

    def example(self, note: str, row: Candidate, tokens: RowTokens) -> str:
        """The text that a note is about."""
        ids = tokens.response.ids
        text = ""
        if note == OTHER_PROMPT:
            text = tokens.added
        elif note == OPENED:
            text = row.text[: int(tokens.response.offsets[0, 0])] if len(ids) else ""
        elif note == MERGED:
            text = self._student.tokenizer.decode(ids[:1])
        elif note == END:
            text = self._student.tokenizer.decode(ids[-1:])
        elif note == NOT_TRAINED:
            rendered = render(
                self._student.tokenizer, row.messages, row.response.turn or row.text,
                arguments=template_arguments(row.response, strict=False),
                where=row.where,
            )  # fmt: skip
            lines = (line.strip() for line in row.text.splitlines())
            text = next((line for line in lines if line and line not in rendered), "")
        return text if len(text) <= _EXAMPLE else f"{text[:_EXAMPLE]}…"


def _shortest(prompt: Prompt) -> Response:
    return min(prompt.responses, key=lambda response: len(response.text))


def _counter(scorer: Scorer) -> Callable[[int, PreparedRows], Planned]:
    return lambda _, prepared: tokens_to_read(scorer.backend, prepared.calls(scorer.calls))
