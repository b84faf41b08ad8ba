"""Row weights from a file: one number a response, joined by prompt, teacher and sample.

A line of JSON a row, as `lnat nce` writes them and as anybody may:

    {"lnat_weight": 0.93, "prompt_id": "p0", "teacher": "R1", "sample": 0, "response": "5f0c…"}
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from lnat_plugins.errors import DataError, validate
from lnat_plugins.files import RepeatedKeyError, parse_json, user_path
from lnat_plugins.outputs import check_file, marked, write_atomic
from lnat_plugins.selection.result import WEIGHTLESS
from lnat_plugins.teacher_set.prompts import Candidate

OPTION: Final = "--output_path"
_IS_OURS: Final = marked(rb'\A\{"lnat_weight": ')
_NOT_THERE: Final = "the file has no line for it"
_OTHER_TEXT: Final = "the file's is of another text"
_NO_REASON: Final = "no reason was recorded"
_REMEDY: Final = "write it again with `lnat nce`"

Key = tuple[str, str, int | str]


@dataclass(frozen=True)
class RowWeight:
    """The weight of one response.

    Attributes:
        prompt_id, teacher, sample: of the response.
        response: digest of its text, see `text_digest`; "" = not compared.
        lnat_weight: 0 or more; NaN = undefined, with the reason.
        kl: mean divergence of the two students, nats per token; NaN where it is not known.
        tokens: scored tokens of the response; 0 where that is not known.
        reason: why there is no weight, "" if there is one.
    """

    prompt_id: str
    teacher: str
    sample: int | str
    response: str
    lnat_weight: float
    kl: float = math.nan
    tokens: int = 0
    reason: str = ""

    @property
    def key(self) -> Key:
        """What rows are joined by."""
        return self.prompt_id, self.teacher, self.sample


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    lnat_weight: float | None = Field(
        ge=0, allow_inf_nan=False, json_schema_extra={"must_be": "a number, 0 or more, or null"}
    )
    prompt_id: str
    teacher: str
    sample: int | str = 0
    response: str = ""
    kl: float | None = None
    tokens: int = 0
    reason: str = ""


def text_digest(text: str) -> str:
    """12 hex digits, equal for equal texts."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Refuse to replace what is no file of weights (ConfigError)."""
    check_file(path, _IS_OURS, overwrite=overwrite, option=OPTION)


def write_weights(path: str | Path, rows: Iterable[RowWeight], *, overwrite: bool = False) -> None:
    """Write a line a row; a file of weights that stands there is replaced.

    Raises:
        ConfigError: another file is in the way, or it cannot be written.
    """
    check_output(Path(path), overwrite=overwrite)
    # The weight first, by which the file is known again.
    names = sorted((one.name for one in fields(RowWeight)), key=lambda name: name != "lnat_weight")
    lines = []
    for row in rows:
        values: dict[str, Any] = {name: getattr(row, name) for name in names}
        for name in ("lnat_weight", "kl"):
            values[name] = None if math.isnan(values[name]) else values[name]
        lines.append(json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n")
    write_atomic(Path(path), "".join(lines), OPTION)


def read_weights(path: str | Path, where: str = "") -> dict[Key, RowWeight]:
    """The weights in a file, by prompt, teacher and sample.

    Args:
        where: what names the file, for messages.

    Raises:
        DataError: no such file, a line that cannot be read, or two lines for one response.
    """
    file = user_path(path, DataError, where)
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except OSError as cause:
        raise DataError(
            f"the file of weights cannot be read: {cause.strerror or cause}", where=where,
            found=str(path), remedy="give the file that `lnat nce` wrote",
        ) from None  # fmt: skip
    except UnicodeDecodeError:
        raise DataError(
            "the file of weights is no UTF-8 text", where=where, found=str(path), remedy=_REMEDY
        ) from None
    found: dict[Key, RowWeight] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        at = f"{path} line {number}"
        try:
            values = parse_json(line, finite=True)
        except (RepeatedKeyError, ValueError, RecursionError):
            values = None
        if not isinstance(values, Mapping):
            raise DataError("this is no JSON object", where=at, found=line, remedy=_REMEDY)
        read = validate(_Line, values, where=at, kind=DataError, remedy=_REMEDY).model_dump()
        for name in ("lnat_weight", "kl"):
            read[name] = math.nan if read[name] is None else read[name]
        row = RowWeight(**read)
        if row.key in found:
            raise DataError(
                "a second weight of one response", where=at,
                found=f"prompt {row.prompt_id!r}, teacher {row.teacher!r}, sample {row.sample!r}",
                remedy="keep one line for each response",
            )  # fmt: skip
        found[row.key] = row
    return found


def join_weights(
    rows: Sequence[Candidate], weights: Mapping[Key, RowWeight]
) -> tuple[dict[int, float], dict[int, str]]:
    """Index -> weight of each row that has one, and index -> the reason of each that has none."""
    known: dict[int, float] = {}
    reasons: dict[int, str] = {}
    for row in rows:
        one = weights.get((row.prompt_id, row.teacher, row.response.sample))
        if one is None:
            reason = _NOT_THERE
        elif one.response and one.response != text_digest(row.text):
            reason = _OTHER_TEXT
        elif math.isnan(one.lnat_weight):
            reason = one.reason or _NO_REASON
        else:
            known[row.index] = one.lnat_weight
            continue
        reasons[row.index] = f"{WEIGHTLESS}: {reason}"
    return known, reasons
