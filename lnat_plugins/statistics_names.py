"""The names of what scoring can gather beside log-probabilities, and what each is.

Knows nothing of how they are gathered and of what is made of them. All are taken with the whole
trace before the token as its context, whatever windows are scored.
"""

from __future__ import annotations

from typing import Final

RANK_CAP: Final = 100
"""Ranks above this count as this (RSR, arXiv 2601.14249)."""

BRIER_TOP: Final = 50
"""Tokens that `brier_top50` keeps of a distribution (LARK, arXiv 2605.30651, authors' code)."""

TOKEN: Final[tuple[str, ...]] = ("capped_rank", "entropy", "brier", "brier_top50")
"""Of one token, from the student's distribution p at its place, y the token that stands there:

- capped_rank: min(1 + #{v: logit_v > logit_y}, 100);
- entropy: −Σ p log p, nats;
- brier: 1 − 2 p_y + Σ p²;
- brier_top50: the same with p cut to its 50 most probable tokens and renormalised.
"""

STEP: Final[tuple[str, ...]] = (*TOKEN, "first_token", "first_two_tokens")
"""Sums over the tokens of a step: those of `TOKEN`, and log p of its first one or two tokens."""

RESPONSE: Final[tuple[str, ...]] = (
    "activation_self", "activation_prompt", "unprompted", "prompted", "unprompted_tokens", "reward",
)  # fmt: skip
"""One number a response. u: the last layer's `mlp.up_proj` output of a token, scaled to length 1;
A the tokens of the response, Q those of the prompt.

- activation_self: ‖Σ_A u‖²; activation_prompt: Σ_A u · Σ_Q u;
- unprompted: Σ log p of the response without the prompt, nats; prompted: Σ log p of the same tokens
  with it; unprompted_tokens: how many they are;
- reward: as the row's column `reward` says.
"""

ALL: Final = frozenset((*STEP, *RESPONSE))
