"""The projection as a matrix, by Python's own whole numbers."""

from __future__ import annotations

import math

import numpy as np


def matrix(kind: str, d: int, size: int, seed: int) -> np.ndarray:
    """Π as a whole, from 64-bit hashes by Python's own whole numbers."""

    def mixed(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        return z ^ (z >> 31)

    step = 0x9E3779B97F4A7C15
    found = np.zeros((d, size))
    for i in range(size):
        for stream in [0] if kind == "sketch" else range(1, 1 + math.ceil(d / 64)):
            key = mixed(seed + step) ^ mixed(stream * step)
            bits = mixed((i * step + key) % 2**64)
            if kind == "sketch":
                found[(bits >> 1) % d, i] = (1 - 2 * (bits & 1)) * math.sqrt(d)
            for row in [] if kind == "sketch" else range(64 * stream - 64, min(64 * stream, d)):
                found[row, i] = 1 - 2 * ((bits >> (row % 64)) & 1)
    return found / math.sqrt(size)
