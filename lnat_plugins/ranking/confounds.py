"""Possible confounds of a score: length, steps, loops, the whole context, the student's family.

Of conversations also what `ranking.conversations` counts.

Shapes: P prompts, T teachers, R responses with a defined value.
"""

from __future__ import annotations

import math
import re
import statistics
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from lnat_plugins.formatting import plural
from lnat_plugins.metrics import GLOBAL, METRICS, Scored
from lnat_plugins.metrics.steps import in_blocks
from lnat_plugins.ranking.conversations import CONTROLS as OF_CONVERSATIONS
from lnat_plugins.ranking.conversations import conversation_controls
from lnat_plugins.ranking.orders import spearman, spearman_rows
from lnat_plugins.ranking.table import Floats, Ints, RowsWithTables, ScoreTable, shared_wins
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.steps.windows import parse_window, width
from lnat_plugins.teacher_set.degenerate import STRETCH, repetition

REPEATED: Final = f"words repeated (stretches of {STRETCH})"
"""What heads the column of `Confounds.repetition`."""

CONTROLS: Final = ("n_tokens", "n_steps", "mean_step_tokens", "first_token_ratio")

FAMILIES: Final = {
    "qwen": "qwen qwq qvq",
    "llama": "llama codellama",
    "gemma": "gemma codegemma",
    "mistral": "mistral mixtral ministral codestral magistral devstral mathstral",
    "gpt": "gpt chatgpt",
    "glm": "glm chatglm",
    **{name: name for name in ("phi", "deepseek", "claude", "gemini", "kimi", "olmo", "granite",
                               "falcon", "internlm", "smollm")},
}  # fmt: skip
"""Family -> the words that stand for it. QwQ and QvQ are Qwen's reasoning models."""

_FAMILY_OF: Final = {word: family for family, words in FAMILIES.items() for word in words.split()}

# Thresholds of the notes.
_NEARLY_ALL: Final = 0.9  # of the context: such a window is the global one under another name
_MUCH_REPEATED: Final = 0.1  # of a teacher's words
_AT_ONCE: Final = 1 << 15  # responses
_NEARLY_ALONE: Final = 0.9  # correlation up or down: a score orders much as the control does
_LEAST_SPARE: Final = 8  # responses beyond two a prompt: with fewer, a correlation says little

_CHOICE: Final = {
    "n_turns": ("one of most turns", "one of fewest turns"),
    "tool_errors": ("one of many errors of tools", "one of few errors of tools"),
    "repeated_actions": ("one of many repeated actions", "one of few repeated actions"),
    "empty_turns": ("one of many empty turns", "one of few empty turns"),
    "n_tokens": ("longest", "shortest"),
    "n_steps": ("one of most steps", "one of fewest steps"),
    "mean_step_tokens": ("one of the longest steps", "one of the shortest steps"),
}


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


class FamilyPairs(NamedTuple):
    """How much of an order a preference for one family could explain.

    Args:
        ahead: pairs of a teacher of the student's family and another in which the first is ahead;
            of equal figures a half.
        mixed: such pairs.
        pairs: pairs of teachers in all.
    """

    ahead: float
    mixed: int
    pairs: int


@dataclass(frozen=True)
class Confounds:
    """The panel beside a ranking.

    Attributes:
        correlations: with each control, in the order of `CONTROLS`; of conversations then with
            those of `ranking.conversations`.
        repetition: teacher -> share of its words, over all its responses, that lie in a stretch
            of 20 words that occurred before in the same response; empty where no texts were given,
            NaN for a teacher without a word.
        context: window -> share of the preceding tokens that it shows, narrow windows first,
            without the global window.
        composition: teacher -> share of the matched prompts on which it is best; a prompt with
            t best teachers counts 1/t for each. Empty where no prompt is matched.
        families: those that the student's name points to; several for a merged name.
        same_family: teachers whose names share a family with the student's.
        family_pairs: what a preference for these could explain; None where all or none are.
        notes: what of this a reader must know before trusting the order.
    """

    correlations: tuple[ControlCorrelation, ...]
    repetition: Mapping[str, float]
    context: Mapping[str, float]
    composition: Mapping[str, float]
    families: tuple[str, ...]
    same_family: tuple[str, ...]
    family_pairs: FamilyPairs | None
    notes: tuple[str, ...]


def confounds(
    table: ScoreTable,
    controls: Mapping[str, Floats],
    rows: Sequence[Scored],
    texts: Sequence[str] | None = None,
    student: str = "",
) -> Confounds:
    """The panel for one metric.

    Args:
        table: the metric's scores of `rows`.
        controls: from `control_values`.
        rows: as for `rank`.
        texts: the responses, one a row; without them repetition is not measured.
        student: its name or path; without it no family is named.
    """
    order = np.argsort(table.response_prompt, kind="stable")
    starts = np.flatnonzero(np.diff(table.response_prompt[order])) + 1
    by_prompt = np.split(order, starts)
    sizes = np.array([len(one) for one in by_prompt])
    # Prompts with as many responses are correlated at once.
    alike = [
        np.stack([by_prompt[i] for i in np.flatnonzero(sizes == size)])
        for size in np.unique(sizes).tolist()
    ]
    own = families(student)
    found = Confounds(
        correlations=tuple(
            _correlation(name, table.response_scores, control_R, alike)
            for name, control_R in controls.items()
        ),
        repetition={} if texts is None else _repeated_shares(table.teachers, rows, texts),
        context=shown_context([row.record for row in rows]),
        composition=composition(table),
        families=tuple(sorted(own)),
        same_family=tuple(teacher for teacher in table.teachers if own & families(teacher)),
        family_pairs=None,
        notes=(),
    )
    found = replace(found, family_pairs=_family_pairs(table, found.same_family))
    return replace(found, notes=tuple(_notes(found, table.window)))


def control_values(table: ScoreTable, rows: Sequence[Scored]) -> dict[str, Floats]:
    """Control -> (R,) its value for every response that has a defined score."""
    metrics = [METRICS[name] for name in CONTROLS]
    if isinstance(rows, RowsWithTables) and len(table.defined) == len(rows):
        counts = {one.name: np.array(rows.rate(one, "").values) for one in metrics}
        return counts | _of_conversations(rows)
    defined = [rows[index] for index in table.defined]
    steps = in_blocks([row.record for row in defined])
    counts = {one.name: np.array(one.rate(defined, "", steps).values) for one in metrics}
    return counts | _of_conversations(defined)


def _of_conversations(rows: Sequence[Scored]) -> dict[str, Floats]:
    """Of rows that are all conversations; nothing for others."""
    # Only rows with a response have turns.
    turns = []
    for row in rows:
        own = getattr(row, "turns", None)
        if own is None:
            return {}
        turns.append(own)
    values_R4 = np.array([*map(conversation_controls, turns)]).reshape(-1, len(OF_CONVERSATIONS))
    return dict(zip(OF_CONVERSATIONS, values_R4.T, strict=True)) if turns else {}


def _family_pairs(table: ScoreTable, same_family: Sequence[str]) -> FamilyPairs | None:
    others = [teacher for teacher in table.teachers if teacher not in same_family]
    if not same_family or not others or not table.matched.any():
        return None
    scores_T = dict(zip(table.teachers, table.teacher_scores(table.matched).tolist(), strict=True))
    ahead = sum(
        1.0 if scores_T[own] > scores_T[other] else 0.5 * (scores_T[own] == scores_T[other])
        for own in same_family
        for other in others
    )
    return FamilyPairs(ahead, len(same_family) * len(others), math.comb(len(table.teachers), 2))


def composition(table: ScoreTable) -> dict[str, float]:
    """Teacher -> share of the matched prompts on which it is best, ties shared equally.

    Empty where there are none.
    """
    if not table.matched.any():
        return {}
    shares_T = shared_wins(table.scores[table.matched]).mean(axis=0)
    return dict(zip(table.teachers, shares_T.tolist(), strict=True))


def _correlation(
    name: str, scores_R: Floats, control_R: Floats, by_prompt: Sequence[Ints]
) -> ControlCorrelation:
    """Args: `by_prompt` holds a row of responses a prompt, in an array a number of responses."""
    inside = [
        (value, rows.shape[1] - 2)
        for rows in by_prompt
        for value in spearman_rows(scores_R[rows], control_R[rows]).tolist()
    ]
    spare = [beyond_two for value, beyond_two in inside if not math.isnan(value)]
    return ControlCorrelation(
        control=name,
        overall=spearman(scores_R, control_R),
        responses=len(control_R),
        within_prompt=_mean_known(value for value, _ in inside),
        prompts=len(spare),
        spare=sum(spare) if spare else max(0, len(control_R) - 2),
    )


def _mean_known(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.fmean(known) if known else math.nan


def shown_context(records: Sequence[StepSums]) -> dict[str, float]:
    """Window -> the share of the preceding response tokens that it shows, 0 … 1.

    Σ tokens of the window's steps / Σ tokens of all preceding steps, averaged over the steps of a
    response that have one before them, then over responses. NaN where no response has such a step.
    The global window, which shows all, is not among them.
    """
    names = {name for record in records for name in record.sums if name != GLOBAL}
    windows = sorted(names, key=width)
    shares: dict[str, array[float]] = {name: array("d") for name in windows}  # in few bytes
    for n_steps, alike in _by_steps(records):
        if n_steps < 2:
            continue
        tokens_Rn = np.array([record.tokens for record in alike], dtype=np.int64)
        before_Rn = np.cumsum(tokens_Rn, axis=1) - tokens_Rn
        whole_R = before_Rn[:, 1:]
        for name in windows:
            window = parse_window(name)
            start = [step - window.preceding(step) for step in range(1, n_steps)]
            seen_Rn = whole_R - before_Rn[:, start]
            share_R = np.ascontiguousarray(seen_Rn / whole_R).mean(axis=1)
            scored_R = [name in record.sums for record in alike]
            shares[name].frombytes(share_R[scored_R].tobytes())
    return {name: _mean_known(values) for name, values in shares.items()}


def _by_steps(records: Sequence[StepSums]) -> Iterator[tuple[int, list[StepSums]]]:
    """Records with as many steps, and how many; of many records not all that are alike at once."""
    for begin in range(0, len(records), _AT_ONCE):
        by_length: dict[int, list[StepSums]] = {}
        for record in records[begin : begin + _AT_ONCE]:
            by_length.setdefault(len(record.tokens), []).append(record)
        yield from by_length.items()


def _repeated_shares(
    teachers: Sequence[str], rows: Sequence[Scored], texts: Sequence[str]
) -> dict[str, float]:
    counts = {teacher: np.zeros(2, dtype=np.int64) for teacher in teachers}
    for row, text in zip(rows, texts, strict=True):
        counts[row.teacher] += repetition(text)
    return {
        name: int(repeated) / int(words) if words else math.nan
        for name, (repeated, words) in counts.items()
    }


def families(name: str) -> frozenset[str]:
    """The families that a model's or teacher's name points to, by whole words; a heuristic.

    A word may carry a version: "Qwen2.5" and "gpt4o" count, "DSQ" and "dolphin" do not.
    "DeepSeek-R1-Distill-Qwen-7B" points to two. Of a path only the last part is read, as the
    folders above it do not name the model; of "org/model" both.
    """
    parts = name.rstrip("/\\").replace("\\", "/").split("/")
    is_repository = len(parts) == 2 and parts[0] not in ("", ".", "..", "~")
    words = re.findall(r"[a-z]+", (name if is_repository else parts[-1]).lower())
    return frozenset(_FAMILY_OF[word] for word in words if word in _FAMILY_OF)


def _notes(found: Confounds, window: str | None) -> Iterator[str]:
    for one in found.correlations:
        inside = not math.isnan(one.within_prompt)
        value = one.within_prompt if inside else one.overall
        # A correlation of NaN is never as large as this.
        if one.control in _CHOICE and one.spare >= _LEAST_SPARE and abs(value) >= _NEARLY_ALONE:
            yield (
                f"{'Within prompts' if inside else 'Over all responses'} the score goes with "
                f"{one.control} (Spearman {value:.3f}): choosing by it is much like choosing the "
                f"{_CHOICE[one.control][value < 0]}."
            )
    # A metric that reads the global window, or none, is not looked up.
    shown = found.context.get(window or "", 0.0)
    if math.isnan(shown):
        yield (
            f"No response has a second step, so that window {window} shows what global shows: this "
            "is global naturalness under another name."
        )
    elif shown >= _NEARLY_ALL:
        yield (
            f"Window {window} shows {100 * shown:.0f}% of what precedes a step here: this is "
            "global naturalness under another name."
        )
    loops = [f"{name} {100 * share:.0f}%" for name, share in found.repetition.items()
             if share >= _MUCH_REPEATED]  # fmt: skip
    if loops:
        yield (
            f"Words in stretches of {STRETCH} that the same response had said before: "
            f"{', '.join(loops)}. What repeats is easy to predict, so loops score well."
        )
    # Where it is all of them, none is preferred for it.
    if found.family_pairs is not None:
        ahead, mixed, pairs = found.family_pairs
        one_alone = len(found.same_family) == 1
        verb, who = ("is", "It is") if one_alone else ("are", "They are")
        yield (
            f"By name, {', '.join(found.same_family)} {verb} of the student's own family "
            f"({', '.join(found.families)}): a student finds its own family's text likely, "
            f"whatever it would learn from it. {who} ahead in {ahead:g} of "
            f"{plural(mixed, 'pair')} with other teachers; that could explain no more of the "
            f"order's {plural(pairs, 'pair')}."
        )
