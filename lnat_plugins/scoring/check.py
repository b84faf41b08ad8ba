"""What a check of a teacher set found, and its text; see `api.check_teacher_set`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lnat_plugins.engine.cost import Cost
from lnat_plugins.engine.planning import Planned
from lnat_plugins.formatting import duration, join_blocks, markdown_table, plural
from lnat_plugins.teacher_set import TeacherSet
from lnat_plugins.teacher_set.ends import Ends, ends_by_teacher
from lnat_plugins.teacher_set.notes import left_out

AS_SET: Final = "as this set says"
ALL_METRICS: Final = "metrics: all"
WHOLE: Final = "whole responses, without the prefix"
_EVERY: Final = "both, every step"

_STEPS_SHOWN: Final = 12
_ENDS_SHOWN: Final = 3
_LINE: Final = 70
_HEAD: Final = 44


@dataclass(frozen=True)
class CutResponse:
    """A response in steps.

    Attributes:
        teacher, prompt_id, where: which one.
        steps: of each its scored tokens, its tokens that are read and not scored, and its text
            with every tag between brackets.
        whole: steps and tokens of the whole response, where a prefix of it is scored; else None.
    """

    teacher: str
    prompt_id: str
    where: str
    steps: tuple[tuple[int, int, str], ...]
    whole: tuple[int, int] | None = None


@dataclass(frozen=True)
class NoteOnRows:
    """Rows that training reads otherwise than prompt and response one after the other.

    Attributes:
        note: one of the constants of `scoring.rows`.
        rows: how many.
        where: the first.
        example: text of the first that it is about, maybe "".
    """

    note: str
    rows: int
    where: str
    example: str


@dataclass(frozen=True)
class Trial:
    """A few prompts scored on this machine.

    Attributes:
        device: where.
        prompts: how many were read; 0 for one response, where a prompt would take too long.
        tokens: as many were read.
        seconds: it took; without loading the model, and without what was read to warm up.
    """

    device: str
    prompts: int
    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


@dataclass(frozen=True)
class StudentCheck:
    """What a student would read of a teacher set.

    Attributes:
        name: its folder or name.
        plain: whether prompts are read as plain text, without a chat template.
        path, reason: the engine's pass, and why it is not the packed one.
        cut: a response of each of three teachers.
        planned: `AS_SET`, "window …" for each one alone, `ALL_METRICS`, with a prefix `WHOLE` ->
            tokens to be read.
        longest: tokens of prompt and response together, and where.
        context: tokens that the student reads at once; None if its configuration names no limit.
        too_long: rows that do not fit.
        notes: in what training differs.
        refused: why `lnat select` would refuse rows as they are, or "".
        trial: None if there was none.
        cost: of the set as it is, on a GPU.
        budgeted: tokens that a run with a budget reads, about: if it is settled as early as it can
            be, and if it never is; None where a budget makes no sense.
        unused_template: whether it has a chat template that is not applied.
    """

    name: str
    plain: bool
    path: str
    reason: str
    cut: tuple[CutResponse, ...]
    planned: Mapping[str, Planned]
    longest: tuple[int, str]
    context: int | None
    too_long: int
    notes: tuple[NoteOnRows, ...]
    refused: str
    trial: Trial | None
    cost: Cost
    budgeted: tuple[int, int] | None = None
    unused_template: bool = False

    @property
    def seconds(self) -> float | None:
        """An estimate for the set as it is, from the trial."""
        if self.trial is None or not self.trial.tokens:
            return None
        return self.planned[AS_SET].tokens / self.trial.rate


@dataclass(frozen=True)
class TeacherSetCheck:
    """A teacher set that can be scored, and what is to be known before.

    Attributes:
        source: the YAML.
        teacher_set: as it was loaded.
        student: None if none was given.
    """

    source: str
    teacher_set: TeacherSet
    student: StudentCheck | None = None

    @property
    def ends(self) -> dict[str, Ends]:
        """Teacher -> what its responses open and close with."""
        return ends_by_teacher(
            response for prompt in self.teacher_set.prompts for response in prompt.responses
        )

    def to_markdown(self) -> str:
        """As `lnat check` prints it."""
        found = self.teacher_set
        responses = Counter(r.teacher for prompt in found.prompts for r in prompt.responses)
        lines = [
            f"{self.source}: ok",
            f"task: {found.name}, prompts: {len(found.prompts)}, data: {found.fingerprint}",
            ", ".join(f"{part}: {' + '.join(own)}" for part, own in found.columns.items()),
            *(f"teacher {name}: {responses[name]} responses" for name in found.teachers),
            *left_out(found),
            *(f"note: {note}" for note in found.all_notes),
        ]
        table = markdown_table(
            ["teacher", "opens with", "closes with"],
            [[name, _shares(own.opens), _shares(own.closes)] for name, own in self.ends.items()],
            left=3,
        )
        blocks: list[str | Sequence[str]] = [[line for line in lines if line], table]
        if self.student is not None:
            blocks += _student_blocks(self.student, found)
        return join_blocks(*blocks)


def _student_blocks(
    student: StudentCheck, teacher_set: TeacherSet
) -> Iterator[str | Sequence[str]]:
    form = "prompts as plain text" if student.plain else "prompts in its chat template"
    template = (
        "the student has a chat template: add --apply_chat_template if it will be trained with it"
    )
    yield [f"student: {student.name}, {form}", *([template] * student.unused_template)]
    yield "Steps, as it would read them ([…]: a tag, which is read and not scored):"
    for one in student.cut:
        yield [*_cut_lines(one)]
    yield markdown_table(
        ["scored", "tokens to be read", "of prompts", "of responses and their windows"],
        [
            [
                _EVERY if name == AS_SET and teacher_set.settings.budget else name,
                *(f"{n:,}" for n in (one.tokens, one.prompt_tokens, one.body_tokens)),
            ]
            for name, one in student.planned.items()
        ],
        left=1,
    )
    yield [*_reading_lines(student, teacher_set)]
    yield [*_training_lines(student, teacher_set.n_responses)]


def _cut_lines(cut: CutResponse) -> Iterator[str]:
    n_tokens = sum(scored + tags for scored, tags, _ in cut.steps)
    place = f" ({cut.where})" if cut.where else ""
    yield (
        f"teacher {cut.teacher}, prompt {cut.prompt_id}{place}: "
        f"{plural(len(cut.steps), 'step')}, {plural(n_tokens, 'token', separator=',')}"
        + (f", the prefix of {cut.whole[0]:,} and {cut.whole[1]:,}" if cut.whole else "")
    )
    for number, (scored, tags, text) in enumerate(cut.steps[:_STEPS_SHOWN], 1):
        more = f" + {tags} not scored" if tags else ""
        yield f"{number:>4}. {plural(scored, 'token', separator=',')}{more}: {shorten(text)}"
    if len(cut.steps) > _STEPS_SHOWN:
        yield f"      … {len(cut.steps) - _STEPS_SHOWN} more"


def shorten(text: str) -> str:
    """One line of at most 70 characters: the first and the last words."""
    line = " ".join(text.split())
    if len(line) <= _LINE:
        return line
    head, tail = line[:_HEAD], line[_HEAD - _LINE + 3 :]
    # At a blank, where there is one: Chinese has none.
    return f"{head.rpartition(' ')[0] or head} … {tail.partition(' ')[2] or tail}"


def _shares(counts: Counter[str]) -> str:
    total = counts.total()
    shown = [
        f"{_in_code(name)} ({_percent(n, total)})" for name, n in counts.most_common(_ENDS_SHOWN)
    ]
    if len(counts) > _ENDS_SHOWN:
        shown.append(f"{len(counts) - _ENDS_SHOWN} more")
    return ", ".join(shown)


def _in_code(name: str) -> str:
    """A tag as code, so that a page that shows the table does not take it for one of its own."""
    return f"`{' '.join(name.split())}`" if name[:1] in "<[◁" else name


def _percent(part: int, total: int) -> str:
    share = 100 * part / total
    if 0 < share < 1:
        return "<1 %"
    return ">99 %" if total > part and share > 99 else f"{share:.0f} %"


def _reading_lines(student: StudentCheck, teacher_set: TeacherSet) -> Iterator[str]:
    planned = student.planned[AS_SET]
    yield (
        f"{plural(len(teacher_set.prompts), 'prompt', separator=',')}, "
        f"{plural(teacher_set.n_responses, 'response', separator=',')}, "
        f"{planned.tokens:,} tokens to be read by the {student.path} pass"
        + (f" ({student.reason})" if student.reason else "")
    )
    if WHOLE in student.planned:
        whole = student.planned[WHOLE].tokens
        yield (
            f"its prefix, the first {teacher_set.settings.prefix} of each response, saves "
            f"{whole - planned.tokens:,} of the {whole:,} tokens that whole responses take "
            f"({_percent(whole - planned.tokens, whole)}); scores are estimates of theirs"
        )
    if student.trial is not None and student.seconds is not None:
        yield (
            f"about {duration(student.seconds)} on this machine ({student.trial.device}, "
            f"{student.trial.rate:,.0f} tokens/s in a trial of "
            f"{plural(student.trial.prompts, 'prompt') if student.trial.prompts else '1 response'}"
            "; an estimate)"
        )
    yield student.cost.in_words()
    if student.budgeted is not None:
        fewest, most = student.budgeted
        budget = teacher_set.settings.budget
        written = "its budget" if budget else "`budget: {}`"
        what = "response of each prompt" if budget and budget.of_choice else "teacher"
        yield (
            f"with {written}, which settles which {what} is best and gives no other scores: about "
            f"{fewest:,} tokens if that is clear, up to {most:,} if it is not"
        )
    n_tokens, where = student.longest
    context = f"reads {student.context:,} at once" if student.context else "names no limit"
    yield f"longest row: {n_tokens:,} tokens ({where}); the student {context}"
    if student.too_long:
        yield (
            f"{plural(student.too_long, 'row')} of {teacher_set.n_responses} longer than that: "
            "what does not fit has no score"
        )


def _training_lines(student: StudentCheck, n_rows: int) -> Iterator[str]:
    if not student.notes and not student.refused:
        yield "Training would read every response as it is."
        return
    yield "What training would read differently:"
    for note in student.notes:
        example = f": {note.example!r}" if note.example else ""
        of = f"{note.rows} of {plural(n_rows, 'row')}"
        yield f"{of}: {note.note} (first: {note.where}{example})"
    if student.refused:
        yield f"lnat select and training refuse {student.refused}"
