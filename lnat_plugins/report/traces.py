"""From a step's score to one of seven shades, with the legend that says which is which.

Knows nothing of texts. The shades are blue for natural and orange for unnatural, which every
kind of colour vision tells apart; each has an underline of its own for print and greyscale.

The trace view: the responses to one prompt side by side, each step shaded by its score.

Knows nothing of rankings. Everything is written out as HTML; the page's script only turns from
one prompt to the next and moves the keyboard's place, so that the first prompt can be read
without it.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from lnat_plugins.metrics import GLOBAL
from lnat_plugins.metrics.base import step_means
from lnat_plugins.report.markup import Markup, counted, esc, folded, items, join, number, tag
from lnat_plugins.report.plots import Marks
from lnat_plugins.scoring.record import ScoredResponse, StepSums
from lnat_plugins.scoring.samples import ScoredSet
from lnat_plugins.teacher_set.prompts import plain_text

QUANTILES: Final = (0.05, 0.15, 0.30, 0.70, 0.85, 0.95)
"""Shares of all steps at which the shades change; the middle one holds 40 %."""

_WORDS: Final = (
    "least natural 5 %", "next 10 %", "next 15 %", "middle 40 %",
    "next 15 %", "next 10 %", "most natural 5 %",
)  # fmt: skip


class Shades(NamedTuple):
    """Where the shades change.

    Attributes:
        window: whose step scores are shaded.
        edges: six scores, rising, in nats per token; empty if no step has a score.
    """

    window: str
    edges: tuple[float, ...]

    def shade(self, score: float) -> str:
        """The class of a step's shade; "u" for an undefined score."""
        if math.isnan(score) or not self.edges:
            return "u"
        return f"s{bisect.bisect_right(self.edges, score)}"

    def legend(self) -> Markup:
        """The seven shades with their scores, and the marks of steps that have none."""
        keys = []
        if self.edges:
            ends = [number(edge, 2) for edge in self.edges]
            ranges = [
                f"below {ends[0]}",
                *(f"{low} to {high}" for low, high in itertools.pairwise(ends)),
                f"{ends[-1]} or more",
            ]
            keys = [
                tag("li", tag("span", words, class_=f"s{place}"), f" {range_}")
                for place, (words, range_) in enumerate(zip(_WORDS, ranges, strict=True))
            ]
        keys.append(tag("li", tag("span", "no score", class_="u"), " undefined, or no token"))
        return tag("ul", join(keys, " "), class_="legend")


def shades_of(records: Iterable[StepSums], window: str) -> Shades:
    """Edges at the quantiles of all steps' scores under the window."""
    scores = [score for record in records for score in step_means(record, window) or ()]
    known = [score for score in scores if not math.isnan(score)]
    if not known:
        return Shades(window, ())
    return Shades(window, tuple(float(edge) for edge in np.quantile(known, QUANTILES)))


EXTREMES = 3
"""Steps listed at each end."""

_SNIPPET = 70


class Rated(NamedTuple):
    """A response with its figures under the metrics shown: name -> (value, reason)."""

    row: ScoredResponse
    values: Mapping[str, tuple[float, str]]


def trace_view(
    scored: ScoredSet, rated: Sequence[Rated], shades: Shades, marks: Marks, shown: int
) -> Markup:
    """The controls, the legend and one article a prompt, the first of them visible.

    Args:
        scored: what is reported on.
        rated: its rows with their figures, in the order to show them.
        shades: what colours a step.
        marks: how teachers are drawn.
        shown: so many prompts at most, those first in the set.
    """
    by_prompt: dict[str, list[Rated]] = {prompt: [] for prompt in scored.prompts}
    for each in rated:
        by_prompt[each.row.prompt_id].append(each)
    answered = [prompt for prompt in scored.prompts if by_prompt[prompt]]
    chosen = answered[:shown]
    articles = [
        _prompt(place, prompt, scored, by_prompt[prompt], shades, marks)
        for place, prompt in enumerate(chosen)
    ]
    return join(
        [
            tag("p", _how_many(len(chosen), len(answered)), class_="needs-script"),
            tag("p", "Without JavaScript the first prompt alone can be read.", class_="no-script"),
            tag("p", "On paper: the chosen prompt alone.", class_="on-paper"),
            tag("p", _KEYS, class_="needs-script"),
            tag("p", _shading(shades)),
            shades.legend(),
            _controls([_label(prompt, by_prompt[prompt]) for prompt in chosen]),
            *articles,
            tag("p", "No step is chosen.", id="step-details", class_="needs-script"),
        ],
        "\n",
    )


_KEYS = Markup(
    "Keys: <kbd>→</kbd> <kbd>←</kbd> next and previous step, or the first step of the prompt "
    "where none has the focus; <kbd>Home</kbd> <kbd>End</kbd> first and last step of the response; "
    "<kbd>j</kbd> <kbd>k</kbd> next and previous prompt, from anywhere on the page. <kbd>Tab</kbd> "
    "goes from a step to its response's other scores and links, then to the next response. "
    "The line at the bottom of the window gives the numbers of the step that has the focus or the "
    "pointer."
)


def _how_many(shown: int, answered: int) -> str:
    if shown == answered == 1:
        return "The one prompt with a response is here."
    if shown == answered:
        return f"All {answered} prompts with a response are here."
    return (
        f"The first {shown} of {answered} prompts are here; the other {answered - shown} are left "
        f"out to keep the file small. More: lnat report --prompts {answered}."
    )


def _shading(shades: Shades) -> Markup:
    window = "global naturalness" if shades.window == GLOBAL else f"window {shades.window}"
    return join(
        [
            f"A step is shaded by its mean log-probability under {window}, in nats per token: ",
            tag("strong", "higher is more natural"),
            " to the student. The shares are of all steps in this report.",
        ]
    )


def _label(prompt: str, rated: Sequence[Rated]) -> str:
    text = _snippet(_prompt_text(rated))
    return f"{prompt}: {text}" if text else prompt


def _prompt_text(rated: Sequence[Rated]) -> str:
    return plain_text(rated[0].row.candidate.messages)


def _controls(labels: Sequence[str]) -> Markup:
    options = [
        tag("option", f"{place + 1} of {len(labels)} · {label}", value=place)
        for place, label in enumerate(labels)
    ]
    return tag(
        "div",
        tag("label", "Prompt ", for_="prompt-choice"),
        tag("select", *options, id="prompt-choice"),
        tag("button", "← Previous", type="button", id="prompt-previous"),
        tag("button", "Next →", type="button", id="prompt-next"),
        class_="controls needs-script",
    )


def _prompt(
    place: int,
    prompt: str,
    scored: ScoredSet,
    rated: Sequence[Rated],
    shades: Shades,
    marks: Marks,
) -> Markup:
    question = tag("div", esc(_prompt_text(rated)), class_="asked")
    samples = Counter(each.row.teacher for each in rated)
    responses = []
    for number_, each in enumerate(rated):
        row = each.row
        several = samples[row.teacher] > 1
        heading = f"{row.teacher}, sample {row.sample}" if several else row.teacher
        name = f"p{place}r{number_}"
        responses.append(_response(name, heading, each, scored.windows, shades, marks))
    return tag(
        "article",
        tag("h3", f"Prompt {prompt}", tabindex="-1"),
        question,
        tag("div", *responses, class_="side-by-side"),
        id=f"p{place}",
        class_="prompt",
        hidden=place > 0,
        lang="",
    )


def _response(
    name: str,
    heading: str,
    rated: Rated,
    windows: Sequence[str],
    shades: Shades,
    marks: Marks,
) -> Markup:
    row, record = rated.row, rated.row.record
    scores = {window: _means(record, window) for window in windows}
    extremes = _extremes(scores[shades.window])
    linked = {step for steps in extremes for step in steps}
    steps = [
        tag(
            "span",
            row.text[start:end],
            class_=shades.shade(scores[shades.window][step]),
            role="listitem",
            tabindex="0",
            title=_told(step, record, scores, shades.window),
            id=f"{name}s{step}" if step in linked else None,
        )
        for step, (start, end) in enumerate(record.spans)
    ]
    return tag(
        "section",
        tag("h4", marks.inline(row.teacher), " ", heading),
        *_facts(rated),
        tag("div", *steps, class_="steps", role="list", dir="auto", aria_label=f"Steps, {heading}"),
        tag("h5", "Least natural steps"),
        _listed(name, row, scores[shades.window], extremes[0]),
        tag("h5", "Most natural steps"),
        _listed(name, row, scores[shades.window], extremes[1]),
        class_="response",
        aria_label=heading,
    )


def _means(record: StepSums, window: str) -> list[float]:
    """One score a step; NaN where there is none."""
    sums = record.sums.get(window) or (math.nan,) * len(record.spans)
    pairs = zip(sums, record.tokens, strict=True)
    return [total / count if count else math.nan for total, count in pairs]


def _told(
    step: int, record: StepSums, scores: Mapping[str, Sequence[float]], window: str
) -> str:  # fmt: skip
    """The numbers of a step in words, as on hover and in the line below the responses."""
    count = record.tokens[step]
    told = [f"step {step + 1} of {len(record.spans)}", counted(count, "token")]
    if not count:
        return f"{', '.join(told)}: its characters lie in a token that an earlier step began"
    figures = [
        f"{'global' if name == GLOBAL else 'window ' + name} "
        + (f"undefined ({_why(record, name)})" if math.isnan(of[step]) else number(of[step]))
        for name, of in scores.items()
    ]
    if window != GLOBAL and GLOBAL in scores:
        difference = scores[GLOBAL][step] - scores[window][step]
        if not math.isnan(difference):
            figures.append(f"global minus window {window} {number(difference)}")
    return f"{', '.join(told)}: {'; '.join(figures)}"


def _why(record: StepSums, window: str) -> str:
    if window in record.undefined:
        return record.undefined[window]
    if window not in record.sums:
        return "not scored"
    return "the back end gives only the total, not the steps"


def _facts(rated: Rated) -> list[Markup]:
    record = rated.row.record
    verdict = {True: "correct", False: "wrong", None: "not known whether correct"}
    size = (
        f"{counted(record.n_tokens, 'token')} in {counted(record.n_steps, 'step')}, "
        f"{counted(len(rated.row.text), 'character')}"
    )
    told = {
        name: f"{name} " + (f"undefined ({reason})" if math.isnan(value) else number(value))
        for name, (value, reason) in rated.values.items()
    }
    first = [name for place, name in enumerate(told) if not place or name == "global_naturalness"]
    facts = items([f"{verdict[rated.row.correct]}; {size}", *(told.pop(name) for name in first)])
    return [facts, folded("Its other scores", items(told.values()))] if told else [facts]


def _extremes(scores: Sequence[float]) -> tuple[list[int], list[int]]:
    """The steps at either end, the most extreme first; no step stands in both lists."""
    known = [step for step, score in enumerate(scores) if not math.isnan(score)]
    rising = sorted(known, key=lambda step: scores[step])
    some = min(EXTREMES, len(rising) // 2)
    return rising[:some], rising[::-1][:some]


def _listed(
    name: str, row: ScoredResponse, scores: Sequence[float], steps: Sequence[int]
) -> Markup:
    if not steps:
        return tag("p", "Undefined: fewer than two steps have a score.", class_="why")
    links = []
    for step in steps:
        start, end = row.record.spans[step]
        link = tag("a", _snippet(row.text[start:end]), href=f"#{name}s{step}")
        links.append(join([f"{number(scores[step])}, step {step + 1}: ", link]))
    return items(links)


def _snippet(text: str) -> str:
    """The beginning on one line. Only so much is read: a step may be very long."""
    plain = " ".join(text[: 4 * _SNIPPET].split())
    if not plain:
        return "(white space)" if text else ""
    return plain if len(plain) <= _SNIPPET else plain[: _SNIPPET - 1] + "…"
