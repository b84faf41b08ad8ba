"""The order in which prompts are read: random, and the same wherever it is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def shuffled(seed: int, prompts: Iterable[str]) -> list[str]:
    """The prompts in random order.

    It is that of their hashes, so it is no matter of the order in which prompts come or of a
    generator's version.
    """

    def place(prompt: str) -> bytes:
        return hashlib.sha256(repr((seed, prompt)).encode("utf-8", "surrogatepass")).digest()

    return sorted(prompts, key=place)
