"""What goes into the engine and what comes out: token ids and log-probabilities, no text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
LogProbs = npt.NDArray[np.float64]


class TokenRun(NamedTuple):
    """A run as token ids: what follows the prompt, and which of its tokens are scored.

    Args:
        ids: shape (T,), the tokens after the prompt.
        scored: shape (T,), True where a token's log-probability is wanted.
    """

    ids: Ids
    scored: npt.NDArray[np.bool_]


class RunScores(NamedTuple):
    """The answer to one run.

    Args:
        logprobs: shape (T,), nats; NaN where a token was not asked for or has no value.
        failure: why the run has no values, or an empty string.
    """

    logprobs: LogProbs
    failure: str = ""


@dataclass
class Counts:
    """What the engine has done so far, in tokens: the measure of its cost.

    Args:
        forwards: calls of the model.
        prompt_tokens: prompt tokens read (once for each prompt on the packed path, once
            for each run on the batched path).
        body_tokens: tokens after a prompt that were read; a run's last token never is.
        padding_tokens: read for nothing.
        projected_tokens: positions projected to the vocabulary.
    """

    forwards: int = 0
    prompt_tokens: int = 0
    body_tokens: int = 0
    padding_tokens: int = 0
    projected_tokens: int = 0
