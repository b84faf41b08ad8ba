"""Token ids of a response, and which tokens belong to which step.

A row is tokenised once, prompt and response in one, as training does (`scoring.rows`); windows
join ids, never text. A token belongs to the step that holds its first character that is not white
space (a token of white space alone: its first character), by the tokenizer's character offsets. So
" Next" belongs to the step that begins with "Next", although the blank before it closes the step
before, whether or not the tokenizer counts that blank in its offsets; ".\\n\\n" belongs to the
sentence it ends.

With a prefix only its tokens are kept; how many there are in all stays known.

Of a conversation, what tools and users wrote and what the template puts between is read, and not
scored; it belongs to the step before it. A turn begins a step.

With `markers: skip` the tokens of tags are read, and not scored: a token that begins in a tag or
in the white space beside one.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.steps import Span, StepSpec, supplied_spans
from lnat_plugins.steps.markers import find_tags, join_markup, without_tags
from lnat_plugins.steps.prefix import Prefix

_TURN: Final = "turn"

Ids = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class ResponseTokens(NamedTuple):
    """The tokens of a response.

    Args:
        ids: shape (T,).
        offsets: shape (T, 2), the characters of the response at which each token begins and ends;
            of a token that is no part of it, twice where the turn before it ends.
        own: of a response that is a conversation: shape (T,), which tokens the teacher wrote.
        turns: of such a response: the characters of each turn.
        shown: of such a response with `observations: all`: shape (T,), which tokens a step reads
            that lie before its window.
    """

    ids: Ids
    offsets: Ids
    own: Bools | None = None
    turns: tuple[Span, ...] = ()
    shown: Bools | None = None


class Whole(NamedTuple):
    """What there is of a response of which only a prefix is scored.

    Args:
        ids: of the whole response, shape (T,).
        steps: how many it has.
        tokens: how many of its tokens would be scored.
    """

    ids: Ids
    steps: int
    tokens: int


@dataclass(frozen=True)
class EncodedResponse:
    """A response as token ids, cut into steps.

    Args:
        ids: shape (T,).
        bounds: p + 1 token positions; step i is ``ids[bounds[i]:bounds[i + 1]]``.
        spans: p character spans that tile the response.
        scored: shape (T,), True for each token that counts; in every step one at least, unless
            the whole response is tags, which is one step without any.
        ends: shape (T,), the character at which each token ends.
        whole: of a response that was cut to a prefix, which all of the above are of; else None.
        own, shown: as in `ResponseTokens`, of the whole response.
    """

    ids: Ids
    bounds: tuple[int, ...]
    spans: tuple[Span, ...]
    scored: Bools
    ends: Ids
    whole: Whole | None = None
    own: Bools | None = None
    shown: Bools | None = None

    @property
    def n_steps(self) -> int:
        """p, the number of steps."""
        return len(self.spans)

    @property
    def tokens_per_step(self) -> tuple[int, ...]:
        """|s_i| for each step: its scored tokens."""
        return tuple(np.add.reduceat(self.scored.astype(int), self.bounds[:-1]).tolist())

    @property
    def tags_per_step(self) -> tuple[int, ...]:
        """Tokens of each step that are read and not scored; empty if there are none at all."""
        if self.scored.all():
            return ()
        return tuple(np.add.reduceat((~self.scored).astype(int), self.bounds[:-1]).tolist())

    @property
    def all_ids(self) -> Ids:
        """Of the whole response."""
        return self.ids if self.whole is None else self.whole.ids

    def first(self, prefix: Prefix) -> EncodedResponse:
        """The prefix alone; the response itself where that is all of it."""
        if prefix.unit == "steps":
            n_steps = min(prefix.count, self.n_steps)
        else:
            n_steps = bisect.bisect_right(self.bounds, prefix.count) - 1
        if n_steps == self.n_steps:
            return self
        # Where the first step is longer than the prefix, a part of it.
        end = self.bounds[n_steps] if n_steps else prefix.count
        spans = self.spans[:n_steps] or ((0, int(self.ends[:end].max())),)
        return replace(
            self, ids=self.ids[:end], bounds=(*self.bounds[: max(1, n_steps)], end), spans=spans,
            scored=self.scored[:end], ends=self.ends[:end],
            whole=Whole(self.ids, self.n_steps, int(self.scored.sum()) or len(self.ids)),
        )  # fmt: skip

    def before(self, start: int) -> Ids:
        """What is read between the prompt and a window that begins with that step."""
        if self.shown is None:
            return self.ids[:0]
        return self.ids[: self.bounds[start]][self.shown[: self.bounds[start]]]

    def end(self, step: int) -> int:
        """Where reading a step ends: the position behind its last token.

        Of a conversation, behind the last one that the teacher wrote: what tools and users say
        after it is read with later steps alone.
        """
        begin, end = self.bounds[step : step + 2]
        if self.own is None or not (own := np.flatnonzero(self.own[begin:end])).size:
            return end
        return begin + int(own[-1]) + 1

    @property
    def n_read(self) -> int:
        """Tokens up to the end of the last step, see `end`."""
        return self.end(self.n_steps - 1)

    def scored_in(self, step: int) -> Ids:
        """The positions of a step's scored tokens in `ids`."""
        begin, end = self.bounds[step : step + 2]
        return begin + np.flatnonzero(self.scored[begin:end])


def check_tokenizer(tokenizer: Any) -> None:
    """Raises StudentError for a tokenizer without character offsets."""
    if not getattr(tokenizer, "is_fast", False):
        raise StudentError(
            "the student's tokenizer gives no character offsets, so steps cannot be found",
            found=type(tokenizer).__name__,
            remedy="use a fast tokenizer (a folder with tokenizer.json)",
        )


def special_ids(tokenizer: Any) -> frozenset[int]:
    """The ids of all tokens flagged as special: end of text, turn and role markers, padding."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    flagged = (index for index, token in added.items() if token.special)
    return frozenset({*tokenizer.all_special_ids, *flagged})


def tokenise(tokenizer: Any, text: str, where: str = "") -> ResponseTokens:
    """The tokens of a response on its own; no special token is added.

    Raises StudentError for a tokenizer that drops part of the text.
    """
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets_T2 = np.array(encoding["offset_mapping"], np.int64).reshape(-1, 2)
    refuse_losses(text, offsets_T2, visible_in(text), where)
    return ResponseTokens(np.array(encoding["input_ids"], np.int64), offsets_T2)


def encode_response(
    tokens: ResponseTokens,
    text: str,
    spec: StepSpec,
    steps: Sequence[str] | None = None,
    where: str = "",
) -> EncodedResponse:
    """Cuts a response into steps of tokens.

    A special token that is spelled out in the text is read as in training.

    Args:
        tokens: of the response; some of its first characters may have none.
        text: the response, verbatim.
        spec: how it is cut, and whether a prefix alone is kept.
        steps: the row's own steps, for `supplied`.
        where: prompt and teacher, for messages.

    Raises:
        DataError: `supplied` without steps, steps that do not join to the text.
    """
    ids, offsets_T2, own, turns, shown = tokens
    visible = visible_in(text)
    tags = tags_in(text, turns) if spec.markers == "skip" else []
    first_T = _first_characters(offsets_T2, visible)
    scored = ~_in_tags(tags, visible, turns)[first_T]
    if own is not None:
        scored &= own
        if spec.kind == "supplied":
            _spans(text, spec, None, where)
        starts = _starts_in_turns(tokens, text, spec)
    elif spec.kind == "tokens":
        starts = _every(spec.n or 1, offsets_T2)
    else:
        starts = _starts(text, _spans(text, spec, steps, where), tags, spec)
    encoded = EncodedResponse(
        ids, *_assign(starts, len(text), first_T, scored), scored, offsets_T2[:, 1], own=own,
        shown=shown,
    )  # fmt: skip
    return encoded if spec.prefix is None else encoded.first(spec.prefix)


def visible_in(text: str) -> Bools:
    """Which characters are no white space, shape (len(text),)."""
    visible = np.ones(len(text), bool)
    for match in re.finditer(r"\s+", text):
        visible[match.start() : match.end()] = False
    return visible


def _spans(text: str, spec: StepSpec, steps: Sequence[str] | None, where: str) -> list[Span]:
    if spec.splitter is not None and (steps is None or spec.kind == "splitter"):
        return spec.splitter.cut(text)
    if steps is None:
        raise DataError(
            "the row carries no steps",
            where=where,
            remedy="name the column of its steps, or choose steps: supplied_or_sentence",
        )
    return supplied_spans(text, steps, where)


def _starts(text: str, spans: list[Span], tags: Sequence[Span], spec: StepSpec) -> list[int]:
    """Where steps begin; with `markers: skip` none that is nothing but markup."""
    if spec.markers == "skip":
        spans = join_markup(without_tags(text, tags), spans)
    return [start for start, _ in spans]


def _starts_in_turns(tokens: ResponseTokens, text: str, spec: StepSpec) -> list[int]:
    """Where steps begin in a response that is a conversation: each turn is cut by itself."""
    starts: list[int] = []
    for begin, end in tokens.turns:
        turn = text[begin:end]
        if spec.kind == "tokens":
            inside = (tokens.offsets[:, 1] > begin) & (tokens.offsets[:, 0] < end)
            starts += [begin, *_every(spec.n or 1, tokens.offsets[inside])[1:]]
            continue
        whole = spec.splitter is None or spec.splitter.name == _TURN
        spans = [(0, len(turn))] if whole or spec.splitter is None else spec.splitter.cut(turn)
        tags = find_tags(turn) if spec.markers == "skip" else []
        starts += [begin + start for start in _starts(turn, spans, tags, spec)]
    return starts


def tags_in(text: str, turns: Sequence[Span]) -> list[Span]:
    """The tags of the text, in a conversation those of each turn."""
    if not turns:
        return find_tags(text)
    return [
        (begin + start, begin + stop)
        for begin, end in turns
        for start, stop in find_tags(text[begin:end])
    ]


def refuse_losses(text: str, offsets_T2: Ids, visible: Bools, where: str) -> None:
    """Every visible character must lie in a token, or the scores are of another text.

    Raises StudentError.
    """
    change = np.zeros(len(text) + 1, np.int64)
    np.add.at(change, offsets_T2[:, 0], 1)
    np.add.at(change, offsets_T2[:, 1], -1)
    lost = np.flatnonzero(visible & (np.cumsum(change)[:-1] == 0))
    if len(lost):
        raise StudentError(
            f"the student's tokenizer drops {len(lost)} characters of the response",
            where=where, found=text[lost[0] : lost[0] + 20],
            remedy="use the tokenizer that the student was trained with",
        )  # fmt: skip


def _first_characters(offsets_T2: Ids, visible: Bools) -> Ids:
    """Each token's first visible character, or its first one if it is white space alone."""
    next_visible = _next_visible(visible)
    begin, end = offsets_T2[:, 0].clip(max=len(visible) - 1), offsets_T2[:, 1]
    return np.where(next_visible[begin] < end, next_visible[begin], begin)


def _next_visible(visible: Bools) -> Ids:
    """For each character the first visible one that is not before it, or their number."""
    n = len(visible)
    return np.minimum.accumulate(np.where(visible, np.arange(n), n)[::-1])[::-1]


def _in_tags(tags: Sequence[Span], visible: Bools, turns: Sequence[Span] = ()) -> Bools:
    """Which characters lie in a tag or in the white space beside one, in the same turn."""
    n = len(visible)
    after = np.append(_next_visible(visible), n)
    before = n - np.append(_next_visible(visible[::-1]), n)
    inside = np.zeros(n, bool)
    begins = [begin for begin, _ in turns]
    for start, end in tags:
        first, last = (0, n)
        if turns:
            first, last = turns[bisect.bisect_right(begins, start) - 1]
        inside[max(first, before[n - start]) : min(last, after[end])] = True
    return inside


def _assign(
    starts: Sequence[int], length: int, first_T: Ids, scored: Bools
) -> tuple[tuple[int, ...], tuple[Span, ...]]:
    """Tokens to the spans that begin at `starts`, by their first characters.

    A span without a scored token of its own joins the one before it, the first one that after it.
    """
    step_T = np.searchsorted(starts, first_T, side="right") - 1
    step_T = np.maximum.accumulate(step_T.clip(min=0))
    counts = np.bincount(step_T[scored], minlength=len(starts))
    kept = np.flatnonzero(counts) if counts.any() else np.array([0])
    begins = [0, *(starts[i] for i in kept[1:])]
    bounds = np.searchsorted(step_T, kept)
    return (
        (0, *bounds[1:].tolist(), len(step_T)),
        tuple(zip(begins, [*begins[1:], length], strict=True)),
    )


def _every(n: int, offsets_T2: Ids) -> list[int]:
    """The characters at which every `n`th token begins, moved on to a token that begins one."""
    begins = offsets_T2[:, 0]
    new_character = np.flatnonzero(np.diff(begins, prepend=-1) > 0)
    wanted = np.searchsorted(new_character, np.arange(0, len(begins), n))
    cuts = np.unique(new_character[wanted[wanted < len(new_character)]])
    return [0, *begins[cuts[1:]].tolist()]
