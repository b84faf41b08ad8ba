"""A generator that draws from bytes, so that a change of a byte is a change of the input."""

from __future__ import annotations

import random
from typing import Any


class Drawn(random.Random):
    """Draws from bytes in order, and zeros behind their end."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data, self._at = data, 0

    def __new__(cls, data: bytes) -> Drawn:
        return super().__new__(cls, 0)

    def _take(self, size: int) -> int:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(taken.ljust(size, b"\0"), "big")

    def random(self) -> float:
        """From 0 to below 1, of two bytes: chances here are of hundredths."""
        return self._take(2) / 65_536

    def getrandbits(self, k: int) -> int:
        """Of as few bytes as hold them; all other draws are made of these two."""
        size = -(-k // 8)
        return self._take(size) >> (8 * size - k)

    def seed(self, *_: Any, **__: Any) -> None:
        """There is none."""
