"""Numbers of a stored record in few bytes, read as the tuples and mappings that they stand for.

A file of 500,000 responses holds some thirty million numbers. As Python floats in dictionaries of
tuples they take 4 kB a response, as bytes less than 1 kB. Nothing is rounded: a number keeps its
64 bits.
"""

from __future__ import annotations

import functools
import math
import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar, overload

Names = tuple[str, ...]
Value = TypeVar("Value")


class PackedSpans(Sequence[tuple[int, int]]):
    """Pairs (start, end) that tile a text from 0, kept as their ends. Equal to a tuple of pairs."""

    __slots__ = ("_ends",)

    LARGEST: Final = 2**32 - 1

    def __init__(self, ends: Iterable[int]) -> None:
        self._ends = array("I", ends).tobytes()

    def __len__(self) -> int:
        return len(self._ends) // _END.size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        ends = array("I", self._ends)
        return zip((0, *ends), ends, strict=False)

    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[tuple[int, int], ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return tuple(self)[index]
        place = range(len(self))[index]
        return self._end(place - 1) if place else 0, self._end(place)

    def _end(self, place: int) -> int:
        found: int = _END.unpack_from(self._ends, place * _END.size)[0]
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedSpans | tuple):
            return NotImplemented
        return tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class _Packed(Mapping[str, Value]):
    """What both mappings are: names, and numbers from a place in `data` on."""

    __slots__ = ("_data", "_names", "_place")

    _length: int

    def __init__(self, names: Names, data: bytes, place: int = 0) -> None:
        self._names = names
        self._data = data
        self._place = place

    def get(self, name: str, default: Any = None) -> Any:
        """As a dictionary's."""
        return self[name] if name in self._names else default

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return repr(dict(self))


class PackedSeries(_Packed[tuple[float, ...]]):
    """Name -> `length` numbers, from a place in `data` on. Equal to a dictionary of tuples."""

    __slots__ = ("_length",)

    def __init__(self, names: Names, length: int, data: bytes, place: int = 0) -> None:
        super().__init__(names, data, place)
        self._length = length

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedSeries, (self._names, self._length, self._data, self._place)

    def __getitem__(self, name: str) -> tuple[float, ...]:
        if name not in self._names:
            raise KeyError(name)
        place = self._place + self._names.index(name) * self._length
        return _numbers(self._length).unpack_from(self._data, place * _ONE.size)


class PackedNumbers(_Packed[float]):
    """Name -> one number, from a place of `data` on. Equal to a dictionary of numbers."""

    __slots__ = ()

    _length = 1

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedNumbers, (self._names, self._data, self._place)

    def __getitem__(self, name: str) -> float:
        if name not in self._names:
            raise KeyError(name)
        place = self._place + self._names.index(name)
        found: float = _ONE.unpack_from(self._data, place * _ONE.size)[0]
        return found


def pack(
    series: Sequence[Mapping[str, tuple[float, ...]]], single: Sequence[Mapping[str, float]]
) -> tuple[list[Mapping[str, tuple[float, ...]]], list[Mapping[str, float]]]:
    """The mappings, each packed, all in one piece of memory.

    Args:
        series: those of several numbers a name, of one length within a mapping.
        single: those of one number a name.
    """
    numbers = [one for by_name in series for own in by_name.values() for one in own]
    numbers += [one for alone in single for one in alone.values()]
    data = _numbers(len(numbers)).pack(*numbers)
    place = 0
    of_series: list[Mapping[str, tuple[float, ...]]] = []
    of_single: list[Mapping[str, float]] = []
    for by_name in series:
        if not by_name:
            of_series.append(_NOTHING)
            continue
        length = len(next(iter(by_name.values()), ()))
        of_series.append(PackedSeries(_same(tuple(by_name)), length, data, place))
        place += len(by_name) * length
    for alone in single:
        if not alone:
            of_single.append(_NOTHING)
            continue
        of_single.append(PackedNumbers(_same(tuple(alone)), data, place))
        place += len(alone)
    return of_series, of_single


def joined(
    mappings: Iterable[Mapping[str, Sequence[float] | float | None]], name: str,
    lengths: Iterable[int],
) -> bytes:  # fmt: skip
    """The numbers of that name in many mappings, one after the other, 64 bits each.

    Args:
        lengths: how many each should hold; NaN stands for those of one that holds no such number.
    """
    pieces: list[bytes] = []
    known: Names | None = None
    index = -1
    for own, length in zip(mappings, lengths, strict=True):
        if type(own) is not PackedSeries and type(own) is not PackedNumbers:
            found = own.get(name)
            numbers = (found,) if isinstance(found, float) else found or ()
            same = len(numbers) == length
            pieces.append(array("d", numbers).tobytes() if same else _NAN * length)
            continue
        if own._names is not known:  # most have the same
            known = own._names
            index = known.index(name) if name in known else -1
        if index < 0 or own._length != length:
            pieces.append(_NAN * length)
            continue
        begin = (own._place + index * length) * _SIZE
        pieces.append(own._data[begin : begin + length * _SIZE])
    return b"".join(pieces)


_ONE = struct.Struct("d")
_SIZE: Final = _ONE.size
_NAN: Final = _ONE.pack(math.nan)
_END = struct.Struct("I")
_NOTHING: Mapping[str, Any] = {}


@functools.lru_cache(maxsize=4096)
def _numbers(count: int) -> struct.Struct:
    return struct.Struct(f"{count}d")


@functools.lru_cache(maxsize=1024)
def _same(names: Names) -> Names:
    """The first tuple that was equal: most records have the same names."""
    return names
