"""Two students on one response, by the definitions: token by token, in float64.

Nothing of the package is used: each token is predicted by a forward of its own over all that
precedes it, and sums run over the whole vocabulary in Python.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch

from tests.helpers_students import token_steps


def predictions(
    model: Any, prompt: Sequence[int], ids: Sequence[int], scored: Sequence[bool]
) -> list[tuple[int, list[float]]]:
    """Each scored token of the response, with log p of every token of the vocabulary there."""
    exact = copy.deepcopy(model).double().eval()
    found = []
    for place, (token, counts) in enumerate(zip(ids, scored, strict=True)):
        if counts:
            before = torch.tensor([[*prompt, *ids[:place]]])
            with torch.no_grad():
                logits = exact(input_ids=before).logits[0, -1].tolist()
            highest = max(logits)
            total = highest + math.log(sum(math.exp(one - highest) for one in logits))
            found.append((token, [one - total for one in logits]))
    return found


def read(words: Any, prompt: str, response: str, plain: str | None = None) -> Any:
    """Prompt ids, response ids, and which of them count: of a chat, or behind a plain delimiter."""
    if plain is None:
        rendered = words.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
    else:
        rendered = prompt + plain
    tokens = [token for step in token_steps(words, response, "sentence") for token in step]
    ids, scored = map(list, zip(*tokens, strict=True))
    return words.encode(rendered), ids, scored


def contrast(positive: Any, negative: Any, row: Any) -> float:
    """mean log p_pos − mean log p_neg over the scored tokens."""
    means = []
    for model in (positive, negative):
        own = [logp[token] for token, logp in predictions(model, *row)]
        means.append(sum(own) / len(own))
    return means[0] - means[1]


def mean_kl(positive: Any, negative: Any, row: Any) -> float:
    """Mean over the scored tokens of Σ_v p_neg(v) · (log p_neg(v) − log p_pos(v))."""
    values = []
    for (_, p), (_, q) in zip(
        predictions(positive, *row), predictions(negative, *row), strict=True
    ):
        values.append(sum(math.exp(b) * (b - a) for a, b in zip(p, q, strict=True)))
    return sum(values) / len(values)
