"""Responses cut and tokenised, before the student reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from lnat_plugins.scoring.backend import PromptCalls
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.tokens import EncodedResponse, Ids, ResponseTokens
from lnat_plugins.teacher_set.prompts import Response

Key = tuple[str, tuple[str, ...] | None, bytes, bytes]
"""Text, supplied steps, token ids, and which of them the teacher wrote."""


def key_of(response: Response, tokens: ResponseTokens) -> Key:
    """What is scored: equal responses have exactly equal scores, so that a tie is one."""
    steps = None if response.steps is None else tuple(response.steps)
    own = b"" if tokens.own is None else tokens.own.tobytes()
    return response.text, steps, tokens.ids.tobytes(), own


class Prepared(NamedTuple):
    """A prompt's responses, cut and tokenised.

    Args:
        prompt: shape (P,), token ids.
        responses: as given.
        tokens: of each.
        encoded: text, supplied steps and token ids -> tokens and steps; equal responses once.
    """

    prompt: Ids
    responses: tuple[Response, ...]
    tokens: tuple[ResponseTokens, ...]
    encoded: Mapping[Key, EncodedResponse]

    @property
    def each(self) -> list[EncodedResponse]:
        """Of each response its tokens and steps."""
        return [self.encoded[key] for key in map(key_of, self.responses, self.tokens)]


class PreparedRows(NamedTuple):
    """Rows, those with the same prompt ids together.

    Args:
        parts: each with the places of its responses among the rows.
    """

    parts: tuple[tuple[Prepared, tuple[int, ...]], ...]

    @property
    def lengths(self) -> list[int]:
        """Of each row the tokens of prompt and response that are to be read, at most."""
        found = {
            place: len(prepared.prompt) + len(one.ids)
            for prepared, places in self.parts
            for place, one in zip(places, prepared.each, strict=True)
        }
        return [found[place] for place in sorted(found)]

    def whole(self, prepare: Callable[..., Prepared]) -> PreparedRows:
        """The same rows without a prefix; `prepare` is a scorer's."""
        return PreparedRows(
            tuple(
                (prepare(*prepared[:3], [None] * len(prepared.responses)), places)
                for prepared, places in self.parts
            )
        )

    def score(self, score: Callable[[Prepared], list[StepSums]]) -> list[StepSums]:
        """The records of the rows, in order."""
        found: dict[int, StepSums] = {}
        for prepared, places in self.parts:
            found.update(zip(places, score(prepared), strict=True))
        return [found[place] for place in sorted(found)]

    def calls(self, calls_of: Callable[[Prepared], PromptCalls]) -> list[PromptCalls]:
        """What scoring asks of the back end, of each part."""
        return [calls_of(prepared) for prepared, _ in self.parts]
