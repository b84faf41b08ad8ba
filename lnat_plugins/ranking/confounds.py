"""Possible confounds of a score: length, steps, loops, the whole context, the student's family.

Shapes: P prompts, T teachers, R responses with a defined value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from lnat_plugins.formatting import plain
from lnat_plugins.metrics import GLOBAL, METRICS, Metric, Scored
from lnat_plugins.ranking.orders import spearman
from lnat_plugins.ranking.table import Floats, Ints, ScoreTable, score_table, winners
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.steps.windows import parse_window


@dataclass(frozen=True)
class ControlCorrelation:
    """Spearman's correlation of the score with a control, by the metric's direction.

    Positive = more of the control goes with a better score, whether that is a higher one or not.

    Attributes:
        control: its name.
        overall: over all responses with a defined score, matched prompts or not.
        responses: how many those are.
        within_prompt: mean of the correlations inside each prompt.
        prompts: prompts that have one: two responses or more, neither figure constant.
        spare: responses beyond two of each prompt that has one (beyond two of all where no prompt
            has): two responses always go together or against each other.
    """

    control: str
    overall: float
    responses: int
    within_prompt: float
    prompts: int
    spare: int


def control_correlation(name: str, control_R: Floats, table: ScoreTable) -> ControlCorrelation:
    """The correlation of the responses' scores with the control's values of the same."""
    better_R = table.response_scores
    inside = [
        (spearman(better_R[one], control_R[one]), len(one))
        for one in _by_prompt(table.response_prompt)
    ]
    known = [(value, count) for value, count in inside if not math.isnan(value)]
    return ControlCorrelation(
        control=name,
        overall=spearman(better_R, control_R),
        responses=len(control_R),
        within_prompt=math.fsum(value for value, _ in known) / len(known) if known else math.nan,
        prompts=len(known),
        spare=sum(count - 2 for _, count in known) if known else max(0, len(control_R) - 2),
    )


def _by_prompt(prompt_R: Ints) -> list[Ints]:
    """The responses of each prompt, as indices."""
    order = np.argsort(prompt_R, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(prompt_R[order])) + 1)


def shown_context(records: Iterable[StepSums]) -> dict[str, float]:
    """Window -> the share of the preceding response tokens that it shows, 0 … 1.

    Σ tokens of the window's steps / Σ tokens of all preceding steps, averaged over the steps of a
    response that have one before them, then over responses. NaN where no response has such a step.
    The global window, which shows all, is not among them.
    """
    known = list(records)
    longest = max((len(record.tokens) for record in known), default=0)
    names = dict.fromkeys(name for record in known for name in record.sums if name != GLOBAL)
    found = {}
    for name in names:
        window = parse_window(name)
        preceding = np.array([window.preceding(step) for step in range(longest)], dtype=np.int64)
        shares = [_share(record, preceding) for record in known if name in record.sums]
        defined = [share for share in shares if not math.isnan(share)]
        found[name] = math.fsum(defined) / len(defined) if defined else math.nan
    return found


def _share(record: StepSums, preceding: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    tokens = np.array(record.tokens, dtype=np.int64)
    step = np.arange(len(tokens))
    before = np.concatenate([[0], np.cumsum(tokens)])
    if len(tokens) < 2:
        return math.nan
    whole = before[1:-1]
    unseen = before[step - preceding[: len(tokens)]][1:]
    return float(((whole - unseen) / whole).mean())


WINDOW: Final = 20
"""Words that must recur in a row to count as said before."""


class Repetition(NamedTuple):
    """Words of a text, split at white space, and those that repeat."""

    repeated: int
    words: int


def repetition(text: str) -> Repetition:
    """Words that lie in a stretch of 20 words which occurred before in the same text.

    The earlier occurrence may overlap, as in a loop of one word. Time grows with the text's length.
    """
    words = text.split()
    seen: set[tuple[str, ...]] = set()
    repeated = marked_to = 0
    for start in range(len(words) - WINDOW + 1):
        stretch = tuple(words[start : start + WINDOW])
        if stretch in seen:
            repeated += start + WINDOW - max(start, marked_to)
            marked_to = start + WINDOW
        seen.add(stretch)
    return Repetition(repeated, len(words))


FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "qwen": ("qwen", "qwq", "qvq"),
    "llama": ("llama", "codellama"),
    "gemma": ("gemma", "codegemma"),
    "mistral": (
        "mistral", "mixtral", "ministral", "codestral", "magistral", "devstral", "mathstral",
    ),
    "phi": ("phi",),
    "deepseek": ("deepseek",),
    "gpt": ("gpt", "chatgpt"),
    "claude": ("claude",),
    "gemini": ("gemini",),
    "glm": ("glm", "chatglm"),
    "kimi": ("kimi",),
    "olmo": ("olmo",),
    "granite": ("granite",),
    "falcon": ("falcon",),
    "internlm": ("internlm",),
    "smollm": ("smollm",),
}  # fmt: skip
"""Family -> the words that stand for it. QwQ and QvQ are Qwen's reasoning models."""

_FAMILY_OF: Final = {word: family for family, words in FAMILIES.items() for word in words}


def families(name: str) -> frozenset[str]:
    """The families that a model's or teacher's name points to, by whole words; a heuristic.

    A word may carry a version: "Qwen2.5" and "gpt4o" count, "DSQ" and "dolphin" do not.
    "DeepSeek-R1-Distill-Qwen-7B" points to two. Of a path only the last part is read, as the
    folders above it say nothing of the model; of "org/model" both.
    """
    parts = name.rstrip("/\\").replace("\\", "/").split("/")
    is_repository = len(parts) == 2 and parts[0] not in ("", ".", "..", "~")
    text = name if is_repository else parts[-1]
    words = re.findall(r"[a-z]+", text.lower())
    return frozenset(_FAMILY_OF[word] for word in words if word in _FAMILY_OF)


CONTROLS: Final = ("n_tokens", "n_steps", "mean_step_tokens", "first_token_ratio")


@dataclass(frozen=True)
class Confounds:
    """The panel beside a ranking.

    Attributes:
        correlations: with each control, in the order of `CONTROLS`.
        repetition: teacher -> share of its words, over all its responses, that lie in a stretch
            of 20 words said before in the same response; empty where no texts were given, NaN for
            a teacher without a word.
        context: window -> share of the preceding tokens that it shows, without the global window.
        composition: teacher -> share of the matched prompts on which it is best; of a tie, the
            first row. Empty where no prompt is matched.
        families: what the student's name says of its family; several for a merged name.
        same_family: teachers whose names share a family with the student's.
        notes: what of this a reader must know before trusting the order.
    """

    correlations: tuple[ControlCorrelation, ...]
    repetition: Mapping[str, float]
    context: Mapping[str, float]
    composition: Mapping[str, float]
    families: tuple[str, ...]
    same_family: tuple[str, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; NaN becomes None."""
        found: dict[str, Any] = plain(self)
        return found


def confounds(
    rows: Sequence[Scored],
    prompts: Sequence[str],
    metric: Metric,
    window: str,
    texts: Sequence[str] | None = None,
    student: str = "",
) -> Confounds:
    """The panel for one metric.

    Args:
        rows, prompts, metric, window: as for `rank`.
        texts: the responses, one a row; without them nothing is said of repetition.
        student: its name or path; without it nothing is said of families.
    """
    teachers = tuple(dict.fromkeys(row.teacher for row in rows))
    table = score_table(rows, prompts, teachers, metric, window)
    return panel(table, control_values(table, rows), rows, metric, window, texts, student)


def panel(
    table: ScoreTable,
    controls: Mapping[str, Floats],
    rows: Sequence[Scored],
    metric: Metric,
    window: str,
    texts: Sequence[str] | None,
    student: str,
) -> Confounds:
    """The same from a table and the controls of its responses."""
    repeated = {} if texts is None else _repetition(table.teachers, rows, texts)
    context = shown_context(row.record for row in rows)
    own = families(student)
    same = tuple(teacher for teacher in table.teachers if own & families(teacher))
    correlations = tuple(
        control_correlation(name, control_R, table) for name, control_R in controls.items()
    )
    found = (
        *count_notes(correlations),
        *context_notes(context, metric.window_read(window)),
        *repetition_notes(repeated),
        *family_notes(own, same),
    )
    return Confounds(
        correlations=correlations,
        repetition=repeated,
        context=context,
        composition=composition(table),
        families=tuple(sorted(own)),
        same_family=same,
        notes=found,
    )


def control_values(table: ScoreTable, rows: Sequence[Scored]) -> dict[str, Floats]:
    """Control -> (R,) its value for every response that has a defined score."""
    defined = [rows[index] for index in table.defined]
    return {name: np.array(METRICS[name].rate(defined, "").values) for name in CONTROLS}


def composition(table: ScoreTable) -> dict[str, float]:
    """Teacher -> share of the matched prompts on which it is best; empty where there are none."""
    used_P = table.matched
    if not used_P.any():
        return {}
    winner_P, _ = winners(table.scores[used_P], table.first_row[used_P])
    shares = np.bincount(winner_P, minlength=len(table.teachers)) / len(winner_P)
    return dict(zip(table.teachers, map(float, shares), strict=True))


def _repetition(
    teachers: Sequence[str], rows: Sequence[Scored], texts: Sequence[str]
) -> dict[str, float]:
    repeated, words = dict.fromkeys(teachers, 0), dict.fromkeys(teachers, 0)
    for row, text in zip(rows, texts, strict=True):
        found = repetition(text)
        repeated[row.teacher] += found.repeated
        words[row.teacher] += found.words
    return {name: repeated[name] / words[name] if words[name] else math.nan for name in teachers}


NEARLY_ALL: Final = 0.9
"""From this share of the context on, a window is the global one under another name."""

MUCH_REPEATED: Final = 0.1
"""From this share of repeated words on, a teacher's loops are noted."""

NEARLY_ALONE: Final = 0.9
"""From this correlation on, up or down, a score orders much as the control does."""

LEAST_SPARE: Final = 8
"""Responses beyond two a prompt: with fewer, a correlation says little."""

_CHOICE: Final = {
    "n_tokens": ("longest", "shortest"),
    "n_steps": ("one of most steps", "one of fewest steps"),
    "mean_step_tokens": ("one of the longest steps", "one of the shortest steps"),
}


def count_notes(correlations: Sequence[ControlCorrelation]) -> Iterator[str]:
    """Where the score orders the responses much as a plain count would."""
    for one in correlations:
        inside = not math.isnan(one.within_prompt)
        found = one.within_prompt if inside else one.overall
        # A correlation of NaN is never as large as this.
        if one.control in _CHOICE and one.spare >= LEAST_SPARE and abs(found) >= NEARLY_ALONE:
            yield (
                f"{'Within prompts' if inside else 'Over all responses'} the score goes with "
                f"{one.control} (Spearman {found:.3f}): choosing by it is much like choosing the "
                f"{_CHOICE[one.control][found < 0]}."
            )


def context_notes(context: Mapping[str, float], read: str | None) -> Iterator[str]:
    """Where the window that was read shows nearly everything."""
    if read is None or read not in context:
        return
    shown = context[read]
    if math.isnan(shown):
        yield (
            f"No response has a second step, so that window {read} shows what global shows: this "
            "is global naturalness under another name."
        )
    elif shown >= NEARLY_ALL:
        yield (
            f"Window {read} shows {100 * shown:.0f}% of what precedes a step here: this is global "
            "naturalness under another name."
        )


def repetition_notes(repeated: Mapping[str, float]) -> Iterator[str]:
    """Teachers that loop."""
    loops = [f"{name} {100 * share:.0f}%" for name, share in repeated.items()
             if share >= MUCH_REPEATED]  # fmt: skip
    if loops:
        yield (
            f"Words in stretches of {WINDOW} that the same response had said before: "
            f"{', '.join(loops)}. What repeats is easy to predict, so loops score well."
        )


def family_notes(own: frozenset[str], same: Sequence[str]) -> Iterator[str]:
    """Teachers of the student's own family."""
    if same:
        verb = "is" if len(same) == 1 else "are"
        yield (
            f"By name, {', '.join(same)} {verb} of the student's own family "
            f"({', '.join(sorted(own))}): a student finds its own family's text likely, whatever "
            "it would learn from it."
        )
