"""A fixed random map from a gradient's D entries to d numbers, never held as a d × D matrix.

The signs and places are a hash, in whole numbers, of the seed and the entry's number, so that a
seed means the same map on every device. (The projector of the authors' code draws other signs on a
GPU with another number of multiprocessors.)

    rademacher   Π of the paper: d × D entries of ±1/√D; d operations an entry
    sketch       each entry goes with a random sign to one of d sums (count sketch, Charikar, Chen
                 and Farach-Colton 2002), times √(d/D); one operation an entry

With random signs and places, inner products of projected vectors have the same mean and the same
variance by both:

    E ⟨Πa, Πb⟩ = d/D · ⟨a, b⟩     Var ⟨Πa, Πb⟩ = d/D² · (‖a‖² ‖b‖² + ⟨a, b⟩² − 2 Σ a_i² b_i²)

Shapes: D entries, N of them at once, d numbers, K rows of signs at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Kind = Literal["sketch", "rademacher"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)

Floats = npt.NDArray[np.float64]

_AT_ONCE: Final = 1 << 18
"""Entries of a piece: its temporaries are 2 MB each for the sketch, 64 MB for rademacher."""
_KEPT: Final = 1 << 26
"""Entries whose places in the sketch are kept from one gradient to the next, 4 bytes each."""
_WORD: Final = 64
_STEP: Final = 0x9E3779B97F4A7C15
_FIRST: Final = 0xBF58476D1CE4E5B9
_SECOND: Final = 0x94D049BB133111EB


class Projection:
    """The map, for gradients of one length.

    Args:
        kind: of the two above.
        dimension: d.
        size: D.
        seed: 0 or more.
    """

    def __init__(self, kind: Kind, dimension: int, size: int, seed: int) -> None:
        self.dimension = dimension
        self.size = size
        self._sketch = kind == "sketch"
        self._seed = seed
        self._kept: dict[int, Tensor] = {}

    def __call__(self, parts: Iterable[Tensor]) -> Floats:
        """Π g, shape (d,), summed in float64.

        Args:
            parts: the gradient's pieces of any shape, in the same order each time, D entries.
        """
        sums_d: Tensor | None = None
        start = 0
        for part in parts:
            for piece_N in torch.split(part.reshape(-1), _AT_ONCE):
                if sums_d is None:
                    # The sketch has a sum for each sign.
                    n_sums = self.dimension * (2 if self._sketch else 1)
                    sums_d = torch.zeros(n_sums, dtype=torch.float64, device=piece_N.device)
                add = self._add_sketch if self._sketch else self._add_rademacher
                add(sums_d, piece_N, start)
                start += len(piece_N)
        if sums_d is None or start != self.size:
            raise ValueError(f"{start} entries, where {self.size} are projected")
        scale = math.sqrt((self.dimension if self._sketch else 1) / self.size)
        if self._sketch:
            plus_d, minus_d = torch.split(sums_d, self.dimension)
            sums_d = plus_d - minus_d
        return sums_d.cpu().numpy() * scale

    def _add_sketch(self, sums_d: Tensor, piece_N: Tensor, start: int) -> None:
        place_N = self._kept.get(start)
        if place_N is None or len(place_N) != len(piece_N) or place_N.device != piece_N.device:
            bits_N = self._bits(start, len(piece_N), 0, piece_N.device)
            place_N = _shifted(bits_N, 1) % self.dimension + self.dimension * (bits_N & 1)
            place_N = place_N.to(torch.int32)
            if self.size <= _KEPT:
                self._kept[start] = place_N
        sums_d.index_add_(0, place_N, piece_N.double())

    def _add_rademacher(self, sums_d: Tensor, piece_N: Tensor, start: int) -> None:
        for first in range(0, self.dimension, _WORD):
            rows = min(_WORD, self.dimension - first)
            bits_N = self._bits(start, len(piece_N), 1 + first // _WORD, piece_N.device)
            shift_K1 = torch.arange(rows, device=piece_N.device)[:, None]
            signs_KN = (1 - 2 * ((bits_N >> shift_K1) & 1)).to(piece_N.dtype)
            sums_d[first : first + rows] += (signs_KN @ piece_N).double()

    def _bits(self, start: int, count: int, stream: int, device: torch.device) -> Tensor:
        """(N,) 64 random bits for each of these entries: SplitMix64 (Steele et al. 2014)."""
        key = _mixed(self._seed + _STEP) ^ _mixed(stream * _STEP)
        entries_N = torch.arange(start, start + count, device=device, dtype=torch.int64)
        bits_N = entries_N * _signed(_STEP) + _signed(key)
        bits_N = (bits_N ^ _shifted(bits_N, 30)) * _signed(_FIRST)
        bits_N = (bits_N ^ _shifted(bits_N, 27)) * _signed(_SECOND)
        return bits_N ^ _shifted(bits_N, 31)


def _mixed(number: int) -> int:
    """As `_bits`, of one number."""
    number = ((number ^ (number >> 30)) * _FIRST) % 2**64
    number = ((number ^ (number >> 27)) * _SECOND) % 2**64
    return number ^ (number >> 31)


def _shifted(bits_N: Tensor, by: int) -> Tensor:
    """To the right with zeros from the left; torch has no unsigned shift."""
    return (bits_N >> by) & ((1 << (_WORD - by)) - 1)


def _signed(number: int) -> int:
    """The int64 of the same 64 bits."""
    number %= 2**64
    return number - 2**64 if number >= 2**63 else number
