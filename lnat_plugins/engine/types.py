"""Token runs, their scores, and the names of the statistics that scoring can gather.

Every statistic is taken with the whole trace before the token as its context, whatever windows
are scored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from lnat_plugins.errors import StudentError

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RANK_CAP: Final = 100
"""Higher ranks count as this one (RSR, arXiv 2601.14249)."""

BRIER_TOP: Final = 50
"""Tokens of a distribution that `brier_top50` keeps (LARK, arXiv 2605.30651, authors' code)."""

TEMPERATURES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)
"""At which log-probabilities are taken for calibration, beside 1."""

TEMPERED: Final = {f"tempered_{t:g}": t for t in TEMPERATURES}
"""Statistic -> its temperature."""

CALIBRATION: Final[tuple[str, ...]] = ("top_probability", "top_is_right", *TEMPERED)
"""Statistics that no metric needs."""

TOKEN: Final[tuple[str, ...]] = ("capped_rank", "entropy", "brier", "brier_top50", *CALIBRATION)
"""Statistics of one token y, from the student's distribution p at its position:

- capped_rank: min(1 + #{v: logit_v > logit_y}, 100);
- entropy: −Σ p log p, nats;
- brier: 1 − 2 p_y + Σ p²;
- brier_top50: the same with p cut to its 50 most probable tokens and renormalised;
- top_probability: max p; top_is_right: 1 if no token is more probable than y, else 0;
- tempered_T: log p_y of the logits divided by T, nats.
"""

STEP: Final[tuple[str, ...]] = (*TOKEN, "first_token", "first_two_tokens")
"""Sums over the tokens of a step: those of `TOKEN`, and log p of its first one or two tokens."""

RESPONSE: Final[tuple[str, ...]] = (
    "cosine_self", "cosine_prompt", "content_nll", "prompt_nll", "unprompted", "prompted",
    "unprompted_tokens", "reward",
)  # fmt: skip
"""One number a response. u: a token's output of the last layer's `mlp.up_proj`, scaled to length 1;
A the scored tokens of the response, Q those of the prompt, special tokens in neither.

- cosine_self: ‖mean_A u‖², the mean cosine over all pairs of A, a token with itself included;
- cosine_prompt: mean_A u · mean_Q u, the mean cosine over all pairs of A × Q;
- content_nll: mean of −log p over A; prompt_nll: over Q, but for the prompt's first token, which
  nothing precedes; nats per token;
- unprompted: Σ log p of the response without the prompt, nats; prompted: Σ log p of the same tokens
  with it; unprompted_tokens: their number;
- reward: the row's column `reward`.
"""

ALL: Final = frozenset((*STEP, *RESPONSE))

OTHER_LOG_PROB: Final = "other_log_prob"
"""Σ log p of the response by another student, nats: of no pass, but from that student's scores
(`scoring.contrast`). Not among `ALL`, as no student can be asked for it."""

ACTIVATIONS: Final = "activations"
"""In `TokenRun.wanted`: the run's `Activations`."""


class TokenRun(NamedTuple):
    """The tokens that follow a prompt, and what is wanted of them.

    Args:
        ids: shape (T,), token ids.
        scored: shape (T,), True where a token's log-probability is wanted.
        wanted: statistics of the scored tokens too, by their names in `TOKEN`, and `ACTIVATIONS`.
        special: token ids that the sums of activations skip, in run and prompt alike.
        skipped: shape (T,), the run's tokens that they skip too, as tags; None = none.
    """

    ids: Ids
    scored: npt.NDArray[np.bool_]
    wanted: frozenset[str] = frozenset()
    special: frozenset[int] = frozenset()
    skipped: npt.NDArray[np.bool_] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The statistics wanted of each scored token, in the order of `TOKEN`."""
        return tuple(name for name in TOKEN if name in self.wanted)

    @property
    def read(self) -> Ids:
        """The tokens that the model reads: the last one only if its activation is wanted."""
        return self.ids if ACTIVATIONS in self.wanted else self.ids[:-1]

    @property
    def left_out(self) -> npt.NDArray[np.bool_]:
        """Which of `read` the sums of activations skip."""
        special = is_special(self.read, self.special)
        return special if self.skipped is None else special | self.skipped[: len(special)]


class PromptRuns(NamedTuple):
    """A prompt and the runs that follow it.

    Args:
        prompt: shape (P,), P ≥ 1, token ids.
        runs: each with at least one token.
    """

    prompt: Ids
    runs: Sequence[TokenRun]


class Activations(NamedTuple):
    """‖Σ_A u‖² and Σ_A u · Σ_Q u: unit vectors u (see `RESPONSE`) of the run A, the prompt Q."""

    own: float
    prompt: float


def is_special(ids: Ids, special: Collection[int]) -> npt.NDArray[np.bool_]:
    """Which of these tokens are special, shape (T,)."""
    return np.isin(ids, sorted(special))


class RunScores(NamedTuple):
    """The numbers of one run.

    Args:
        logprobs: shape (T,), nats; NaN where a token is not scored or the run has failed.
        failure: why the run has no values, or "".
        statistics: name -> shape (T,), likewise.
        activations: None if not wanted, or if the run has failed.
    """

    logprobs: Floats
    failure: str = ""
    statistics: Mapping[str, Floats] = MappingProxyType({})
    activations: Activations | None = None


def failed_run(run: TokenRun, failure: str) -> RunScores:
    """A run without values, and why."""
    nothing = np.full(len(run.ids), np.nan)
    return RunScores(nothing, failure, dict.fromkeys(run.names, nothing))


def checked_run(run: TokenRun, found: RunScores) -> RunScores:
    """A run with a value that is not finite has no values."""
    values = [found.logprobs[run.scored]]
    values += [each[run.scored] for each in found.statistics.values()]
    values += [np.array(found.activations or ())]
    if all(np.isfinite(each).all() for each in values):
        return found
    return failed_run(run, "the student gave a log-probability of NaN or infinity")


OUT_OF_MEMORY: Final = "the pass ran out of memory"
"""The failure of a run that does not fit even alone."""

NO_MEMORY: Final = (
    "free memory on the device, or load the student with a smaller dtype or on another device"
)


def check_ids(parts: Iterable[Ids], vocabulary: int) -> None:
    """Refuse tokens that an embedding of so many ids does not have (StudentError); 0 = not known.

    Reading one is an IndexError on a CPU, and ends the process on a GPU.
    """
    largest = max((int(part.max()) for part in parts if len(part)), default=-1)
    if 0 < vocabulary <= largest:
        raise StudentError(
            f"the tokenizer gives token {largest}, and the student's embedding has {vocabulary}",
            remedy="give the tokenizer that belongs to the student, or resize the embedding and "
            "train it",
        )


@dataclass
class Counts:
    """What the engine has read so far.

    Args:
        forwards: calls of the model.
        prompt_tokens: once a prompt in the packed pass, once a run in the batched pass.
        body_tokens: tokens read after a prompt; a run's last token only for activations.
        padding_tokens: padding read with them.
        projected_tokens: positions projected to the vocabulary.
    """

    forwards: int = 0
    prompt_tokens: int = 0
    body_tokens: int = 0
    padding_tokens: int = 0
    projected_tokens: int = 0
