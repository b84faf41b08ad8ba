"""The numbers of every token of a response, in the compact form in which records carry them.

Arrays become text: their bytes (little endian, 32 bits a number) by zlib, then base64. Nothing is
rounded beyond 32 bits, in which log-softmax is computed.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from lnat_plugins.errors import DataError, validate
from lnat_plugins.files import parse_json

_INTEGER: Final = "<i4"
_FLOAT: Final = "<f4"


@dataclass(frozen=True)
class TokenValues:
    """One response of T tokens, p steps. Each field is packed; `arrays` unpacks them.

    Attributes:
        ids: (T,) token ids.
        ends: (T,) the character of the response at which each token ends.
        bounds: (p + 1,) step i is the tokens ``bounds[i]`` to ``bounds[i + 1]``.
        scored: (T,) 1 for each token that the record's sums count, 0 for those of tags.
        logprobs: window -> (T,) log p of each token in nats, NaN where it is undefined.
        statistics: name (see `engine.types.TOKEN`) -> (T,), under the whole trace.
    """

    ids: str
    ends: str
    bounds: str
    scored: str
    logprobs: Mapping[str, str] = field(default_factory=dict)
    statistics: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_arrays(
        cls,
        ids: npt.ArrayLike,
        ends: npt.ArrayLike,
        bounds: npt.ArrayLike,
        scored: npt.ArrayLike,
        logprobs: Mapping[str, npt.ArrayLike],
        statistics: Mapping[str, npt.ArrayLike],
    ) -> TokenValues:
        """Pack the arrays."""
        return cls(
            _packed(ids, _INTEGER),
            _packed(ends, _INTEGER),
            _packed(bounds, _INTEGER),
            _packed(scored, _INTEGER),
            {name: _packed(values, _FLOAT) for name, values in logprobs.items()},
            {name: _packed(values, _FLOAT) for name, values in statistics.items()},
        )

    @classmethod
    def of_json(cls, stored: object, where: str = "") -> TokenValues:
        """From the object that `as_dict` gives; raises DataError if it is none."""
        checked = validate(
            _Stored, stored, where=where, kind=DataError, key="field of the record's tokens",
            prefix="record: tokens: ", remedy=_REMEDY,
        )  # fmt: skip
        return cls(**vars(checked))

    @property
    def size(self) -> int:
        """Characters that it takes in a samples file, names left out."""
        single = (self.ids, self.ends, self.bounds, self.scored)
        return sum(map(len, (*single, *self.logprobs.values(), *self.statistics.values())))

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**vars(self), "logprobs": {**self.logprobs}, "statistics": {**self.statistics}}

    def counts(self, where: str = "") -> list[int]:
        """Tokens of each step, those of tags included; raises DataError as `arrays`."""
        bounds = _unpacked(self.bounds, _INTEGER, where).tolist()
        return [end - begin for begin, end in itertools.pairwise(bounds)]

    def arrays(self, where: str = "") -> dict[str, npt.NDArray[Any]]:
        """`ids`, `ends`, `bounds`, `scored`, `logprob[WINDOW]` for each window, and each statistic.

        Raises DataError, which names `where`, for text that is not packed numbers, or of different
        lengths.
        """
        found: dict[str, npt.NDArray[Any]] = {
            "ids": _unpacked(self.ids, _INTEGER, where),
            "ends": _unpacked(self.ends, _INTEGER, where),
            "bounds": _unpacked(self.bounds, _INTEGER, where),
            "scored": _unpacked(self.scored, _INTEGER, where).astype(bool),
        }
        columns = {f"logprob[{name}]": text for name, text in self.logprobs.items()}
        for name, text in {**columns, **self.statistics}.items():
            found[name] = _unpacked(text, _FLOAT, where)
        n = len(found["ids"])
        lengths = {name: len(values) for name, values in found.items() if name != "bounds"}
        if set(lengths.values()) != {n} or not _tiles(found["bounds"], n):
            raise DataError(
                "the record's tokens do not fit each other", where=where, found=lengths,
                remedy=_REMEDY,
            )  # fmt: skip
        return found


@dataclass(frozen=True, slots=True)
class TokensInFile:
    """The numbers of a stored record's tokens, read from the file when they are needed.

    They are most of what a samples file holds, and only `Scores.tokens` looks at them.

    Attributes:
        place: the samples file, and where the prompt's line begins in it, in bytes.
        number: of the response among the line's, from 0.
    """

    place: tuple[Path, int]
    number: int

    def load(self, where: str = "") -> TokenValues:
        """Read them; raises DataError, which names `where`, if the file was changed or removed."""
        path, offset = self.place
        try:
            with path.open("rb") as file:
                file.seek(offset)
                line = parse_json(file.readline().decode())
            stored = parse_json(line["resps"][self.number][0])["token_values"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            raise DataError(
                "the file was changed after the scores were read", where=where or str(path),
                remedy="read the scores again",
            ) from None  # fmt: skip
        return TokenValues.of_json(stored, where)

    def arrays(self, where: str = "") -> dict[str, npt.NDArray[Any]]:
        """As `TokenValues.arrays`; DataError too if the file is no longer as it was."""
        return self.load(where).arrays(where)

    def as_dict(self) -> dict[str, Any]:
        """As `TokenValues.as_dict`."""
        return self.load().as_dict()


_REMEDY: Final = "score the responses again; the file was cut or edited"


class _Stored(BaseModel):
    model_config = ConfigDict(strict=True)

    ids: str
    ends: str
    bounds: str
    scored: str
    logprobs: dict[str, str] = {}
    statistics: dict[str, str] = {}


def _tiles(bounds: npt.NDArray[Any], n: int) -> bool:
    return (
        len(bounds) > 1 and bounds[0] == 0 and bounds[-1] == n and bool((np.diff(bounds) > 0).all())
    )


def _packed(values: npt.ArrayLike, kind: str) -> str:
    return base64.b64encode(zlib.compress(np.asarray(values).astype(kind).tobytes(), 6)).decode()


def _unpacked(text: str, kind: str, where: str) -> npt.NDArray[Any]:
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), kind)
    except (binascii.Error, zlib.error, ValueError):
        raise DataError(
            "the record's tokens cannot be unpacked", where=where, found=text, remedy=_REMEDY
        ) from None
