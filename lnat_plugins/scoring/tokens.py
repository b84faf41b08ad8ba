"""Token ids of a response, and which tokens belong to which step.

A response is tokenised once and on its own; its ids are joined to the prompt's as ids, never as
text. A token belongs to the step that holds its first character that is not white space (a token of
white space alone: its first character), by the tokenizer's character offsets. So " Next" belongs to
the step that begins with "Next", although the blank before it closes the step before, whether or
not the tokenizer counts that blank in its offsets; ".\\n\\n" belongs to the sentence it ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.steps import Span, StepSpec, supplied_spans

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EncodedResponse:
    """A response as token ids, cut into steps.

    Args:
        ids: shape (T,).
        bounds: p + 1 token positions; step i is ``ids[bounds[i]:bounds[i + 1]]``, never empty.
        spans: p character spans that tile the response.
    """

    ids: Ids
    bounds: tuple[int, ...]
    spans: tuple[Span, ...]

    @property
    def n_steps(self) -> int:
        """p, the number of steps."""
        return len(self.spans)

    @property
    def tokens_per_step(self) -> tuple[int, ...]:
        """|s_i| for each step."""
        return tuple(int(n) for n in np.diff(self.bounds))


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


def encode_response(
    tokenizer: Any,
    text: str,
    spec: StepSpec,
    steps: Sequence[str] | None = None,
    where: str = "",
) -> EncodedResponse:
    """Tokenises one response and cuts it into steps.

    No special token is added; one that is spelled out in the text is read as in training.

    Args:
        tokenizer: a fast transformers tokenizer.
        text: the response, verbatim.
        steps: the row's own steps, for `supplied`.
        where: prompt and teacher, for messages.

    Raises:
        DataError: `supplied` without steps, steps that do not join to the text.
        StudentError: a tokenizer that drops part of the text.
    """
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids = np.array(encoding["input_ids"], np.int64)
    offsets_T2 = np.array(encoding["offset_mapping"], np.int64).reshape(-1, 2)
    visible = np.ones(len(text), bool)
    for match in re.finditer(r"\s+", text):
        visible[match.start() : match.end()] = False
    _refuse_losses(text, offsets_T2, visible, where)
    if spec.kind == "tokens":
        bounds, spans = _every(spec.n or 1, offsets_T2, len(text))
    else:
        bounds, spans = _assign(_spans(text, spec, steps, where), offsets_T2, visible)
    return EncodedResponse(ids, bounds, spans)


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


def _refuse_losses(text: str, offsets_T2: Ids, visible: Any, where: str) -> None:
    """Every visible character must lie in a token, or the scores are of another text."""
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


def _assign(
    spans: Sequence[Span], offsets_T2: Ids, visible: Any
) -> tuple[tuple[int, ...], tuple[Span, ...]]:
    """Tokens to spans; a span without a token of its own joins the one before it."""
    n = len(visible)
    next_visible = np.minimum.accumulate(np.where(visible, np.arange(n), n)[::-1])[::-1]
    begin, end = offsets_T2[:, 0].clip(max=n - 1), offsets_T2[:, 1]
    first = np.where(next_visible[begin] < end, next_visible[begin], begin)
    starts = np.array([start for start, _ in spans])
    step_T = np.maximum.accumulate(np.searchsorted(starts, first, side="right") - 1)
    bounds = np.searchsorted(step_T, np.arange(len(spans) + 1))
    kept = np.flatnonzero(np.diff(bounds))
    begins = [0, *(spans[i][0] for i in kept[1:])]
    ends = [*begins[1:], n]
    return (*(int(bounds[i]) for i in kept), len(step_T)), tuple(zip(begins, ends, strict=True))


def _every(n: int, offsets_T2: Ids, length: int) -> tuple[tuple[int, ...], tuple[Span, ...]]:
    """A cut every `n` tokens, moved on where it would fall inside a character."""
    begins = offsets_T2[:, 0]
    new_character = np.flatnonzero(np.diff(begins, prepend=-1) > 0)
    wanted = np.searchsorted(new_character, np.arange(0, len(begins), n))
    cuts = np.unique(new_character[wanted[wanted < len(new_character)]])
    starts = [0, *(int(begins[t]) for t in cuts[1:])]
    spans = tuple(zip(starts, [*starts[1:], length], strict=True))
    return (*(int(t) for t in cuts), len(begins)), spans
