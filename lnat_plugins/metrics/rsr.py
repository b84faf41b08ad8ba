"""RSR: the tokens' ranks in the student's distributions, relative to their surprise."""

from __future__ import annotations

from lnat_plugins.metrics.base import GLOBAL, Metric, UndefinedError, log_prob, summed
from lnat_plugins.scoring.record import StepSums


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
    rank, nll = parts(record)
    if not nll:
        raise UndefinedError("the student is certain of every token, so that there is no surprise")
    return rank / nll


def parts(record: StepSums, window: str = GLOBAL) -> tuple[float, float]:
    """Average capped rank, and average NLL in nats per token."""
    return summed(record, "capped_rank") / record.n_tokens, -log_prob(record) / record.n_tokens


RSR = Metric(
    name="rsr", higher_is_better=False, scope="response", unit="ranks per nat",
    source="arXiv 2601.14249 (RSR)", aggregate="ratio_of_means", compute=rsr, reads="global",
    needs=frozenset({"capped_rank"}), parts=parts,
)  # fmt: skip
