"""Tiny random students that read text, and what their scores must be by the definition.

The oracle works from the text: prompt and response are tokenised apart, tokens go to the step
that holds their first visible character, and each step and window is one forward of its own.
Tokens of tags are read and not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from lnat_plugins.steps import SPLITTERS
from lnat_plugins.steps.markers import find_tags

from .engine.oracle import step_sums
from .engine.students import built
from .helpers_tokenizers import byte_level

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> Any:
    """Byte-level BPE with a ChatML template."""
    built = byte_level()
    built.chat_template = CHATML
    return built


def student(name: str = "llama", *, seed: int = 0, **changes: Any) -> Any:
    """A random float32 model that reads every id of `tokenizer()`; contexts cost nats."""
    torch.manual_seed(seed)
    model = built(name, {"vocab_size": 400, **changes})
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim >= 2:
                weight.mul_(3.0)
    return model


class Truth(NamedTuple):
    """What the definition gives for one response. n steps, sums in nats; tags are in neither."""

    tokens: list[int]
    sums: dict[str, list[float]]
    tag_tokens: list[int]

    def local(self, window: str) -> float:
        """LN: the plain mean of the steps' means."""
        pairs = zip(self.sums[window], self.tokens, strict=True)
        return sum(total / count for total, count in pairs) / len(self.tokens)

    def global_(self) -> float:
        """GN: the mean over tokens."""
        return sum(self.sums["global"]) / sum(self.tokens)


def truth(
    model: Any,
    tokenizer: Any,
    prompt: Sequence[int],
    response: str,
    windows: Sequence[str] = ("4", "global"),
    steps: Sequence[str] | str = "sentence",
    first: int | None = None,
    markers: str = "skip",
) -> Truth:
    """Scores one response by the definition; only its `first` steps where that is given.

    `steps`: a splitter's name, or the steps. Tags are where `find_tags` finds them, and counted
    with `markers` "keep".
    """
    found = token_steps(tokenizer, response, steps, markers)[:first]
    ids = [[token for token, _ in step] for step in found]
    scored = [[counts for _, counts in step] for step in found]
    return Truth(
        [sum(step) for step in scored],
        {window: step_sums(model, list(prompt), ids, window, scored) for window in windows},
        [len(step) - sum(step) for step in scored],
    )


def token_steps(
    tokenizer: Any, text: str, steps: Sequence[str] | str, markers: str = "skip"
) -> list[list[tuple[int, bool]]]:
    """Each step's token ids, and whether each one counts.

    A step without a token that counts joins the one before, the first one that after.
    """
    if isinstance(steps, str):
        steps = [text[a:b] for a, b in SPLITTERS[steps].split(text)]
    owner = [i for i, step in enumerate(steps) for _ in step]
    tags = find_tags(text) if markers == "skip" else []
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    found: list[list[tuple[int, bool]]] = [[] for _ in steps]
    current = 0
    for token, (begin, end) in zip(encoding.input_ids, encoding.offset_mapping, strict=True):
        visible = [i for i in range(begin, end) if not text[i].isspace()]
        first = visible[0] if visible else begin
        current = max(current, owner[first])
        found[current].append((token, not any(touches(text, first, *tag) for tag in tags)))
    joined: list[list[tuple[int, bool]]] = []
    for step in found:
        counted = any(counts for _, counts in step)
        if not joined or (counted and any(counts for _, counts in joined[0])):
            joined.append(step)
        else:
            joined[-1].extend(step)
    return joined


def touches(text: str, position: int, start: int, end: int) -> bool:
    """Whether a character is in the tag, or in the white space beside it."""
    if position < start:
        return not text[position:start].strip()
    return position < end or not text[end : position + 1].strip()


def assert_near(found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    """Equal within the tolerance in nats; NaN is never near."""
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0, equal_nan=False)
