"""The trace view: the responses to one prompt side by side, each step shaded by its score.

The seven shades are blue for natural and orange for unnatural, which every kind of colour vision
distinguishes; each has an underline of its own for print and greyscale. The page's script only
turns from one prompt to the next and moves the keyboard focus: the first prompt can be read
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
from lnat_plugins.report.markup import Markup, counted, folded, items, join, number, tag
from lnat_plugins.report.plots import Markers
from lnat_plugins.scoring.record import ScoredResponse, StepSums
from lnat_plugins.scoring.samples import ScoredSet
from lnat_plugins.teacher_set.prompts import plain_text

QUANTILES: Final = (0.05, 0.15, 0.30, 0.70, 0.85, 0.95)
"""Shares of all steps at which the shades change; the middle one holds 40 %."""

EXTREMES: Final = 3
"""Steps listed at each end."""

_SNIPPET: Final = 70

_SHADES: Final = (
    "least natural 5 %", "next 10 %", "next 15 %", "middle 40 %",
    "next 15 %", "next 10 %", "most natural 5 %",
)  # fmt: skip

_KEYS: Final = Markup(
    "Keys: <kbd>→</kbd> <kbd>←</kbd> next and previous step, or the first step of the prompt "
    "where none has the focus; <kbd>Home</kbd> <kbd>End</kbd> first and last step of the response; "
    "<kbd>j</kbd> <kbd>k</kbd> next and previous prompt, from anywhere on the page. <kbd>Tab</kbd> "
    "goes from a step to its response's other scores and links, then to the next response. "
    "The line at the bottom of the window gives the numbers of the step that has the focus or the "
    "pointer."
)


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
        """The seven shades with their scores, and how steps without one are marked."""
        keys = []
        if self.edges:
            ends = [number(edge, 2) for edge in self.edges]
            between = (f"{low} to {high}" for low, high in itertools.pairwise(ends))
            ranges = (f"below {ends[0]}", *between, f"{ends[-1]} or more")
            keys = [
                tag("li", tag("span", words, class_=f"s{i}"), f" {scores}")
                for i, (words, scores) in enumerate(zip(_SHADES, ranges, strict=True))
            ]
        keys.append(tag("li", tag("span", "no score", class_="u"), " undefined"))
        return tag("ul", join(keys, " "), class_="legend")


def shades_of(records: Iterable[StepSums], window: str) -> Shades:
    """Edges at the quantiles of all steps' scores under the window."""
    scores = [score for record in records for score in record.step_means(window) or ()]
    known = [score for score in scores if not math.isnan(score)]
    return Shades(window, tuple(np.quantile(known, QUANTILES).tolist()) if known else ())


class Rated(NamedTuple):
    """A response with its figures under the metrics shown: name -> (value, reason)."""

    row: ScoredResponse
    values: Mapping[str, tuple[float, str]]


def trace_view(
    scored: ScoredSet, rated: Sequence[Rated], shades: Shades, markers: Markers, most: int
) -> Markup:
    """The controls, the legend and one article a prompt, the first of them visible.

    Args:
        rated: the rows of `scored` with their figures, in the order to show them.
        most: so many prompts at most, those first in the set.
    """
    by_prompt: dict[str, list[Rated]] = {prompt: [] for prompt in scored.prompts}
    for each in rated:
        by_prompt[each.row.prompt_id].append(each)
    answered = [prompt for prompt, responses in by_prompt.items() if responses]
    shown = answered[:most]
    if len(answered) == 1:
        count = "The one prompt with a response is here."
    elif len(shown) == len(answered):
        count = f"All {len(answered)} prompts with a response are here."
    else:
        count = (
            f"The first {len(shown)} of {len(answered)} prompts are here; the other "
            f"{len(answered) - len(shown)} are omitted to keep the file small. More: lnat report "
            f"--prompts {len(answered)}."
        )
    window = "global naturalness" if shades.window == GLOBAL else f"window {shades.window}"
    options, articles = [], []
    for i, prompt in enumerate(shown):
        text = plain_text(by_prompt[prompt][0].row.candidate.messages)
        label = f"{prompt}: {_snippet(text)}" if text else prompt
        options.append(tag("option", f"{i + 1} of {len(shown)} · {label}", value=i))
        samples = Counter(each.row.teacher for each in by_prompt[prompt])
        responses = []
        for j, each in enumerate(by_prompt[prompt]):
            teacher, sample = each.row.teacher, each.row.sample
            heading = f"{teacher}, sample {sample}" if samples[teacher] > 1 else teacher
            response = _response(f"p{i}r{j}", heading, each, scored.windows, shades, markers)
            responses.append(response)
        articles.append(
            tag(
                "article",
                tag("h3", f"Prompt {prompt}", tabindex="-1"),
                tag("div", text, class_="prompt-text"),
                tag("div", *responses, class_="side-by-side"),
                id=f"p{i}", class_="prompt", hidden=i > 0, lang="",
            )
        )  # fmt: skip
    controls = tag(
        "div",
        tag("label", "Prompt ", for_="prompt-choice"),
        tag("select", *options, id="prompt-choice"),
        tag("button", "← Previous", type="button", id="prompt-previous"),
        tag("button", "Next →", type="button", id="prompt-next"),
        class_="controls needs-script",
    )
    parts = [
        tag("p", count, class_="needs-script"),
        tag("p", "Without JavaScript the first prompt alone can be read.", class_="no-script"),
        tag("p", "On paper: the chosen prompt alone.", class_="on-paper"),
        tag("p", _KEYS, class_="needs-script"),
        tag("p", f"A step is shaded by its mean log-probability under {window}, in nats per "
            "token: ", tag("strong", "higher is more natural"),
            " to the student. The shares are of all steps in this report."),
        shades.legend(),
        controls,
        *articles,
        tag("p", "No step is chosen.", id="step-details", class_="needs-script"),
    ]  # fmt: skip
    return join(parts, "\n")


def _response(
    name: str, heading: str, rated: Rated, windows: Sequence[str], shades: Shades, markers: Markers
) -> Markup:
    row, record = rated.row, rated.row.record
    nothing = [math.nan] * len(record.spans)
    by_window = {window: record.step_means(window) or nothing for window in windows}
    scores = by_window[shades.window]
    # The most extreme steps first; no step is in both lists.
    known = [step for step, score in enumerate(scores) if not math.isnan(score)]
    rising = sorted(known, key=lambda step: scores[step])
    most = min(EXTREMES, len(rising) // 2)
    lists = {"Least natural steps": rising[:most], "Most natural steps": rising[::-1][:most]}
    linked = set(itertools.chain(*lists.values()))
    steps = [
        tag(
            "span", row.text[start:end], class_=shades.shade(scores[step]), role="listitem",
            tabindex="0", title=_details(step, record, by_window, shades.window),
            id=f"{name}s{step}" if step in linked else None,
        )
        for step, (start, end) in enumerate(record.spans)
    ]  # fmt: skip
    few = tag("p", "Undefined: fewer than two steps have a score.", class_="why")
    extremes: list[Markup] = []
    for title, found in lists.items():
        entries = []
        for step in found:
            start, end = record.spans[step]
            link = tag("a", _snippet(row.text[start:end]), href=f"#{name}s{step}")
            entries.append(join([f"{number(scores[step])}, step {step + 1}: ", link]))
        extremes += [tag("h5", title), items(entries) or few]
    return tag(
        "section",
        tag("h4", markers.inline(row.teacher), " ", heading),
        *_facts(rated),
        tag("div", *steps, class_="steps", role="list", dir="auto", aria_label=f"Steps, {heading}"),
        *extremes,
        class_="response",
        aria_label=heading,
    )


def _details(
    step: int, record: StepSums, by_window: Mapping[str, Sequence[float]], window: str
) -> str:
    """The numbers of a step in words, as on hover and in the line below the responses."""
    figures = []
    for name, scores in by_window.items():
        label = "global" if name == GLOBAL else f"window {name}"
        if math.isnan(scores[step]):
            not_stored = "the back end gives only the total, not the steps"
            missing = not_stored if name in record.sums else "not scored"
            figures.append(f"{label} undefined ({record.undefined.get(name, missing)})")
        else:
            figures.append(f"{label} {number(scores[step])}")
    if window != GLOBAL and GLOBAL in by_window:
        difference = by_window[GLOBAL][step] - by_window[window][step]
        if not math.isnan(difference):
            figures.append(f"global minus window {window} {number(difference)}")
    tokens = counted(record.tokens[step], "token")
    return f"step {step + 1} of {len(record.spans)}, {tokens}: {'; '.join(figures)}"


def _facts(rated: Rated) -> list[Markup]:
    record = rated.row.record
    verdict = {True: "correct", False: "wrong", None: "not known whether correct"}
    size = (
        f"{counted(record.n_tokens, 'token')} in {counted(record.n_steps, 'step')}, "
        f"{counted(len(rated.row.text), 'character')}"
    )
    first = [f"{verdict[rated.row.correct]}; {size}"]
    others: list[str] = []
    for i, (name, (value, reason)) in enumerate(rated.values.items()):
        words = f"undefined ({reason})" if math.isnan(value) else number(value)
        shown = first if not i or name == "global_naturalness" else others
        shown.append(f"{name} {words}")
    return [items(first), folded("Its other scores", items(others))] if others else [items(first)]


def _snippet(text: str) -> str:
    """The beginning on one line. Only so much is read: a step may be very long."""
    plain = " ".join(text[: 4 * _SNIPPET].split())
    if not plain:
        return "(white space)" if text else ""
    return plain if len(plain) <= _SNIPPET else plain[: _SNIPPET - 1] + "…"
