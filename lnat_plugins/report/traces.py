"""The traces of a page: texts and step scores in compressed blocks, and the shades of steps.

A block is JSON in ASCII, deflated (zlib) and written in base64; the page unpacks it when its prompt
is opened. What is written is bounded: `kept` stops at a number of bytes. Shades are seven: blue for
natural and orange for unnatural, which every kind of colour vision distinguishes; each has an
underline of its own for print and greyscale.
"""

from __future__ import annotations

import base64
import bisect
import itertools
import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from lnat_plugins.metrics import GLOBAL, Ratings
from lnat_plugins.report.cells import counted, number
from lnat_plugins.report.prompts import Prompts
from lnat_plugins.scoring.record import ScoredResponse, StepSums
from lnat_plugins.scoring.samples import ScoredSet
from lnat_plugins.steps import Span
from lnat_plugins.steps.markers import find_tags

QUANTILES: Final = (0.05, 0.15, 0.30, 0.70, 0.85, 0.95)
"""Shares of all steps at which the shades change; the middle one holds 40 %."""

SHADES: Final = (
    "lowest 5 %", "next 10 %", "next 15 %", "middle 40 %", "next 15 %", "next 10 %", "highest 5 %",
)  # fmt: skip

DIFFERENCE: Final = "difference"
"""The view that shades global minus local."""

MOST_POINTS: Final = 2400
"""Responses in the response-level plots; of more, every second, third, … of each teacher."""

_SNIPPETS: Final = (90, 50, 24, 0)
"""Characters of a prompt in the list; the first that fit."""

MOST_STEPS: Final = 5_000
"""Steps of a response that a page shows at most, from the first on."""

_MOST_CHARACTERS: Final = 1_000_000
"""Characters of a response that a page shows at most, but for its first step."""

_MOST_MISSES: Final = 40
"""Traces tried beyond the bound before a page is called full."""

_DIGITS: Final = 4


class View(NamedTuple):
    """What steps can be shaded by.

    Attributes:
        name: a window, or `DIFFERENCE`.
        edges: six scores, rising, at which shades change; empty if no step has a score.
    """

    name: str
    edges: tuple[float, ...]

    def shade(self, score: float) -> str:
        """The class of a step's shade; "u" for an undefined score."""
        if math.isnan(score) or not self.edges:
            return "u"
        return f"s{bisect.bisect_right(self.edges, score)}"

    def legend(self) -> list[tuple[str, str, str]]:
        """Class, words and scores of every shade."""
        if not self.edges:
            return []
        ends = _apart(self.edges)
        between = (f"{low} to {high}" for low, high in itertools.pairwise(ends))
        last = ends[-1] if ends[-1] == _ZERO else f"{ends[-1]} or more"
        ranges = (f"below {ends[0]}", *between, last)
        return [(f"s{i}", *each) for i, each in enumerate(zip(SHADES, ranges, strict=True))]


_ZERO: Final = "near 0"


def _apart(edges: Sequence[float]) -> list[str]:
    """Each with two digits, or up to four where it reads as its neighbour or as 0 and is neither.

    One that reads as 0 even so is "near 0": no log-probability is above 0.
    """
    digits = [2] * len(edges)
    for more in (3, 4):
        texts = [number(*each) for each in zip(edges, digits, strict=True)]
        for i, edge in enumerate(edges):
            beside = {j for j in (i - 1, i + 1) if 0 <= j < len(edges) and edges[j] != edge}
            if any(texts[j] == texts[i] for j in beside) or (edge and float(texts[i]) == 0):
                digits[i] = more
    texts = [number(*each) for each in zip(edges, digits, strict=True)]
    return [
        _ZERO if edge and float(text) == 0 else text
        for edge, text in zip(edges, texts, strict=True)
    ]


def views_of(records: Sequence[StepSums], windows: Sequence[str], local_window: str) -> list[View]:
    """One for each window, and the difference where global and a local one were scored."""
    views = [
        View(window, _edges(each for one in records for each in one.step_means(window) or ()))
        for window in windows
    ]
    if GLOBAL in windows and local_window != GLOBAL:
        apart = _edges(each for one in records for each in differences(one, local_window))
        views.append(View(DIFFERENCE, apart))
    return views


def _edges(scores: Iterable[float]) -> tuple[float, ...]:
    known = np.fromiter(scores, dtype=np.float64)
    known = known[~np.isnan(known)]
    return tuple(np.quantile(known, QUANTILES).tolist()) if len(known) else ()


def differences(record: StepSums, local_window: str) -> list[float]:
    """Global minus local, step by step; empty where one is missing."""
    whole, local = record.step_means(GLOBAL), record.step_means(local_window)
    if whole is None or local is None:
        return []
    return [one - other for one, other in zip(whole, local, strict=True)]


def step_number(score: float) -> str:
    """With two digits, below 0.1 with four: about as many as the page keeps."""
    return number(score, 2 if score == 0 or abs(score) >= 0.1 else 4)


def details(
    step: int, record: StepSums, means: Mapping[str, Sequence[float] | None], local_window: str
) -> str:
    """The numbers of a step in words, as the page's script writes them.

    Args:
        means: window -> `step_means` of the record.
    """
    figures = []
    for window, scores in means.items():
        label = "global" if window == GLOBAL else f"window {window}"
        if scores is None or math.isnan(scores[step]):
            figures.append(f"{label} undefined ({_why(record, window)})")
        else:
            figures.append(f"{label} {step_number(scores[step])}")
    whole, local = means.get(GLOBAL), means.get(local_window)
    if local_window != GLOBAL and whole is not None and local is not None:
        apart = whole[step] - local[step]
        if not math.isnan(apart):
            figures.append(f"global minus window {local_window} {step_number(apart)}")
    tokens = counted(record.tokens[step], "token")
    return f"step {step + 1} of {record.whole_steps}, {tokens}: {'; '.join(figures)}"


def _why(record: StepSums, window: str) -> str:
    not_stored = "the back end gives only the total, not the steps"
    missing = not_stored if window in record.sums else "not scored"
    return record.undefined.get(window, missing)


def compressed(value: object) -> str:
    """JSON in ASCII, deflated, in base64. Every text survives, NUL and half characters too."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")


def short(value: float) -> float | None:
    """Four significant digits; None for NaN."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


class Kept(NamedTuple):
    """The traces in the page.

    Attributes:
        blocks: index of the prompt -> its compressed trace, in the order of the set.
        prompts: how many prompts there are.
        cut: responses in the page of which the last steps are left out.
        steps_left_out: how many steps these are together.
    """

    blocks: Mapping[int, str]
    prompts: int
    cut: int = 0
    steps_left_out: int = 0

    @property
    def whole(self) -> bool:
        """Whether all are in the page."""
        return len(self.blocks) == self.prompts


def places_of(rows: Sequence[ScoredResponse]) -> Callable[[ScoredResponse], int]:
    """What gives the place of one of these rows among them, in a fifth of a dictionary's memory."""
    ids_R = np.fromiter(map(id, rows), np.int64, len(rows))
    order_R = np.argsort(ids_R)
    return lambda row: int(order_R[np.searchsorted(ids_R, id(row), sorter=order_R)])


def kept(
    scored: ScoredSet, prompts: Prompts, teachers: Sequence[str], values: Mapping[str, Ratings],
    *, most: int | None, room: int,
) -> Kept:  # fmt: skip
    """The most informative prompts' traces, as many as fit.

    Args:
        values: label -> values of every row of `scored`.
        most: so many prompts at most; None = as many as fit.
        room: bytes for them.
    """
    place = places_of(scored.rows)
    blocks: dict[int, str] = {}
    used = misses = 0
    for index in prompts.informative():
        if misses > _MOST_MISSES or (most is not None and len(blocks) >= most):
            break
        block = compressed({
            "prompt": prompts.texts[index],
            "responses": [
                _response(row, teachers, scored.windows, values, place(row))
                for row in prompts.rows[index]
            ],
        })  # fmt: skip
        size = len(block) + 80
        if used + size > room:
            misses += 1
            continue
        used += size
        blocks[index] = block
    left_out = [
        row.record.n_steps - steps_shown(row.record)
        for index in blocks
        for row in prompts.rows[index]
    ]
    cut = sum(count > 0 for count in left_out)
    return Kept(dict(sorted(blocks.items())), len(prompts.ids), cut, sum(left_out))


def steps_shown(record: StepSums, characters: int = _MOST_CHARACTERS) -> int:
    """How many steps a page shows: as many as there is room for, the first in any case."""
    most = min(record.n_steps, MOST_STEPS)
    ends = [end for _, end in record.spans[:most]]
    return max(min(1, most), bisect.bisect_right(ends, characters))


def pieces(row: ScoredResponse, step: int, tags: Sequence[tuple[int, int]]) -> list[str]:
    """The text of a step, cut where a tag in it is not scored: text, tag, text, tag, …, text.

    Args:
        tags: where the response's tags are, see `find_tags`.
    """
    record = row.record
    start, end = record.spans[step]
    if not record.tag_tokens or not record.tag_tokens[step]:
        return [row.text[start:end]]
    inside = [(max(start, a), min(end, b)) for a, b in tags if a < end and b > start]
    cuts = [start, *(place for span in inside for place in span), end]
    return [row.text[a:b] for a, b in itertools.pairwise(cuts)]


def tags_in(row: ScoredResponse) -> list[Span]:
    """The tags of a response that were read and not scored.

    None of a conversation, whose tags are those of each turn: where a turn ends is not recorded.
    """
    return find_tags(row.text) if any(row.record.tag_tokens) and row.turns is None else []


def _response(
    row: ScoredResponse, teachers: Sequence[str], windows: Sequence[str],
    values: Mapping[str, Ratings], place: int,
) -> dict[str, Any]:  # fmt: skip
    record = row.record
    shown = steps_shown(record)
    spans = record.spans[:shown]
    means_of = {window: record.step_means(window) for window in windows}
    scores = {window: None if all_ is None else all_[:shown] for window, all_ in means_of.items()}
    tags = tags_in(row)
    return {
        "teacher": teachers.index(row.teacher),
        "sample": row.sample,
        "correct": row.correct,
        "n_steps": record.whole_steps,
        "n_tokens": record.whole_tokens,
        "steps": [row.text[start:end] for start, end in spans],
        "tags": {
            step: parts
            for step in (range(shown) if tags else ())
            if len(parts := pieces(row, step, tags)) > 1
        },
        "tokens": record.tokens[:shown],
        "scores": {
            window: None if means is None else [short(mean) for mean in means]
            for window, means in scores.items()
        },
        "why": {
            window: _why(record, window)
            for window, means in scores.items()
            if means is None or any(map(math.isnan, means))
        },
        "values": [
            [name, short(of.values[place])]
            if math.isfinite(of.values[place])
            else [name, None, of.reasons[place] or "it is not finite"]
            for name, of in values.items()
        ],
    }


def listed(prompts: Prompts, room: int) -> tuple[dict[str, Any], int]:
    """The list of all prompts, column by column, and the characters of each prompt it holds.

    Prompts are shortened first, then left out; only then ids are cut, and the least informative
    prompts left out.

    Args:
        room: bytes it may take once it is compressed.
    """
    order: Sequence[int] = range(len(prompts.ids))
    for width, letters in (*((width, None) for width in _SNIPPETS), (0, 16)):
        found = _columns(prompts, order, width, letters)
        if len(compressed(found)) <= room:
            return found, width
    most = list(prompts.informative())
    while len(most) > 1:
        most = most[: len(most) // 2]
        found = _columns(prompts, sorted(most), 0, 16)
        if len(compressed(found)) <= room:
            break
    return found, 0


def _columns(
    prompts: Prompts, order: Sequence[int], width: int, letters: int | None
) -> dict[str, Any]:
    return {
        "place": None if len(order) == len(prompts.ids) else list(order),
        "id": [prompts.ids[i][:letters] for i in order],
        "text": [snippet(prompts.texts[i], width) for i in order] if width else None,
        "lead": [short(float(prompts.lead[i])) for i in order],
        "winner": [int(prompts.winner[i]) for i in order],
        "tied": [prompts.tied[i] for i in order],
        "local": [int(prompts.local[i]) for i in order],
        "global": [int(prompts.global_[i]) for i in order],
        "apart": [short(float(prompts.disagreement[i])) for i in order],
        "correct": "".join(prompts.correct[i] for i in order),
        "all_correct": "".join("ny"[int(prompts.all_correct[i])] for i in order),
    }


def points(
    scored: ScoredSet, prompts: Prompts, teachers: Sequence[str], *,
    scores: Ratings, local: Ratings, whole: Ratings,
) -> tuple[dict[str, Any], int]:  # fmt: skip
    """The responses that the plots show, column by column, and one in how many they are."""
    every = max(1, math.ceil(len(scored.rows) / MOST_POINTS))
    place = {prompt: i for i, prompt in enumerate(prompts.ids)}
    seen = dict.fromkeys(teachers, 0)
    chosen = []
    for i, row in enumerate(scored.rows):
        if seen[row.teacher] % every == 0:
            chosen.append(i)
        seen[row.teacher] += 1
    rows = [scored.rows[i] for i in chosen]
    found = {
        "p": [place[row.prompt_id] for row in rows],
        "teacher": [teachers.index(row.teacher) for row in rows],
        # A count of 0, which some plain metrics allow, has no logarithm.
        "tokens": [row.record.whole_tokens or None for row in rows],
        **{
            name: [short(of.values[i]) for i in chosen]
            for name, of in (("score", scores), ("local", local), ("global", whole))
        },
    }
    return found, every


def snippet(text: str, width: int) -> str:
    """The beginning on one line. Only so much is read: a text may be very long."""
    plain = " ".join(text[: 4 * width].split())
    if not plain:
        return "(white space)" if text else ""
    return plain if len(plain) <= width else plain[: width - 1] + "…"
