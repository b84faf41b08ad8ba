"""IFD: how much the prompt helps the student to foresee the response."""

from __future__ import annotations

import math

from lnat_plugins.metrics.base import GLOBAL, Metric, UndefinedError
from lnat_plugins.record import StepSums


def ifd(record: StepSums, window: str = GLOBAL) -> float:
    """Mean NLL with the prompt / mean NLL without it, over the same k = `unprompted_tokens` tokens.

    Unit: none, a ratio; below 1 where the prompt helps. Lower = easier = better here.
    Aggregation: a value a response, then mean over prompts.

    Source: instruction-following difficulty, arXiv 2308.12032. Ours: the direction. That paper
    looks for instructions that are worth learning, and keeps the difficult ones, below 1.

    Args:
        record: one scored response, with `prompted`, `unprompted` and `unprompted_tokens`.
        window: ignored; the context is always the whole trace.

    Raises:
        UndefinedError: no token is scored without the prompt, or their NLL is 0.
    """
    tokens = record.statistics.get("unprompted_tokens", math.nan)
    unprompted = record.statistics.get("unprompted", math.nan)
    if not tokens:
        raise UndefinedError("no token can be scored without the prompt")
    if not unprompted:
        raise UndefinedError("the student is certain of every token even without the prompt")
    prompted = record.statistics.get("prompted", math.nan)
    return (-prompted / tokens) / (-unprompted / tokens)


METRIC = Metric(
    name="ifd",
    higher_is_better=False,
    scope="response",
    unit="ratio",
    source="arXiv 2308.12032 (IFD); ours: lower is better",
    aggregate="mean",
    compute=ifd,
    reads="global",
    needs=frozenset({"prompted", "unprompted", "unprompted_tokens"}),
)
