"""Perplexity, IFD, CAR, RSR and entropy: five measures by the student's loss on a response.

Perplexity: its exponential. IFD: how much the prompt lowers it. CAR: the rows' reward, discounted
by it. RSR: the ranks of the tokens, relative to it. Entropy: its expected value if the student
wrote the tokens; it has no better or worse.
"""

from __future__ import annotations

import math
from typing import Final

from lnat_plugins.metrics.base import GLOBAL, Metric, UndefinedError, log_prob, summed
from lnat_plugins.scoring.record import StepSums


def perplexity(record: StepSums, window: str = GLOBAL) -> float:
    """exp(−1/n · Σ_t log p(y_t | x, y_<t)) over the n tokens of the response.

    Unit: none; 1 or more. Lower is better. Of two responses the one with the lower perplexity has
    the higher `global_naturalness`, always.
    Aggregation: a value a response, then mean over prompts, so that a few improbable responses
    decide: the order of teachers can differ from that by `global_naturalness`, whose teacher's
    figure is the logarithm of a geometric mean of perplexities.

    Source: the definition.
    """
    return math.exp(-log_prob(record) / record.n_tokens)


PERPLEXITY = Metric(
    name="perplexity", higher_is_better=False, scope="response", unit="none",
    source="the definition", aggregate="mean", compute=perplexity, reads="global",
    of_prefix=True,
)  # fmt: skip


def ifd(record: StepSums, window: str = GLOBAL) -> float:
    """Mean NLL with the prompt / mean NLL without it, over the same k = `unprompted_tokens` tokens.

    Unit: none, a ratio; below 1 where the prompt helps. Lower = easier = better here.
    Aggregation: a value a response, then mean over prompts.

    Source: instruction-following difficulty, arXiv 2308.12032, and its authors' code. Ours: the
    direction (that paper looks for instructions that are worth learning, and keeps the difficult
    ones, below 1); and no template precedes the response without its prompt, where the authors
    keep their `### Response:`.

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


IFD = Metric(
    name="ifd", higher_is_better=False, scope="response", unit="ratio",
    source="arXiv 2308.12032 (IFD); ours: lower is better", aggregate="mean", compute=ifd,
    reads="global", needs=frozenset({"prompted", "unprompted", "unprompted_tokens"}),
    of_prefix=True,
)  # fmt: skip

BETA: Final = 3.0
"""β, the weight of the NLL. Ours: the paper's value is not known to us."""


def car(record: StepSums, window: str = GLOBAL) -> float:
    """reward / (1 + β·NLL), NLL the mean of −log p(y_t | x, y_<t) over the tokens, β = 3.

    Unit: that of the reward. Higher is better.
    Aggregation: a teacher's figure is the mean reward divided by the mean of 1 + β·NLL, which is
    the paper's figure of a data set; not the mean of the responses' ratios.

    Source: compatibility-adjusted reward, arXiv 2411.07133, which defines it for a data set. Ours:
    the value of one response, and β.
    """
    reward, discount = car_parts(record)
    return reward / discount


def car_parts(record: StepSums, window: str = GLOBAL) -> tuple[float, float]:
    """The reward, and 1 + β·NLL."""
    nll = -log_prob(record) / record.n_tokens
    return record.statistics.get("reward", math.nan), 1 + BETA * nll


CAR = Metric(
    name="car", higher_is_better=True, scope="response", unit="reward",
    source="arXiv 2411.07133 (CAR); ours: beta", aggregate="ratio_of_means", compute=car,
    reads="global", needs=frozenset({"reward"}), parts=car_parts,
)  # fmt: skip


def rsr(record: StepSums, window: str = GLOBAL) -> float:
    """Σ_t min(rank_t, 100) / Σ_t NLL_t, with rank_t = 1 + #{v: logit_v > logit of y_t}.

    Unit: ranks per nat. Lower is better: tokens that surprise the student, yet rank near the top
    of its distribution. Equal logits do not raise the rank.
    Aggregation: a teacher's figure is the mean over prompts of the average rank, divided by
    the mean of the average NLL; not the mean of the responses' ratios.

    Source: rank-surprisal ratio, arXiv 2601.14249; teachers as in its appendix A.8.

    Raises:
        UndefinedError: Σ NLL is 0.
    """
    rank, nll = rsr_parts(record)
    if not nll:
        raise UndefinedError("the student is certain of every token, so that there is no surprise")
    return rank / nll


def rsr_parts(record: StepSums, window: str = GLOBAL) -> tuple[float, float]:
    """Average capped rank, and average NLL in nats per token."""
    return summed(record, "capped_rank") / record.n_tokens, -log_prob(record) / record.n_tokens


RSR = Metric(
    name="rsr", higher_is_better=False, scope="response", unit="ranks per nat",
    source="arXiv 2601.14249 (RSR)", aggregate="ratio_of_means", compute=rsr, reads="global",
    needs=frozenset({"capped_rank"}), parts=rsr_parts,
    of_prefix=True,
)  # fmt: skip


def entropy(record: StepSums, window: str = GLOBAL) -> float:
    """1/n · Σ_t −Σ_v p(v | x, y_<t) · log p(v | x, y_<t), over the n tokens of the response.

    Unit: nats per token, ≥ 0. Descriptive: nothing is ranked by it.
    Aggregation: mean over the tokens of a response, then mean over prompts.

    Differs from −`global_naturalness` in what −log p is averaged over: the student's own
    distribution at each position, instead of the token there.
    """
    return summed(record, "entropy") / record.n_tokens


ENTROPY = Metric(
    name="entropy", higher_is_better=None, scope="response", unit="nats per token",
    source="the definition", aggregate="mean", compute=entropy, reads="global",
    needs=frozenset({"entropy"}),
    of_prefix=True,
)  # fmt: skip
