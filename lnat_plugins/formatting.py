"""Numbers, plurals and markdown tables as lm-eval prints them; results as plain JSON values."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytablewriter import MarkdownTableWriter
from pytablewriter.style import Style
from pytablewriter.typehint import String

from lnat_plugins.errors import visible

_MINUTE: Final = 60
_HOUR: Final = 3600


def number(value: float, digits: int = 4, *, undefined: str = "N/A", separator: str = "") -> str:
    """The value with so many decimals, as in lm-eval's tables; from 1000 on, six digits in all.

    The digits before the point are never cut; `separator` stands between thousands. `undefined`
    for NaN; never "-0.0000".
    """
    if math.isnan(value):
        return undefined
    if math.isfinite(value) and abs(value) >= 1000:
        before = math.floor(math.log10(abs(value))) + 1
        digits = min(digits, max(0, 6 - before))
    text = f"{value:{separator}.{digits}f}"
    return text.lstrip("-") if round(value, digits) == 0 else text


def span(low: float, high: float, digits: int = 4) -> str:
    """An interval; "N/A" if there is none.

    An end that is not 0 gets up to six decimals rather than be printed as 0: readers look whether
    an interval excludes 0.
    """
    return "N/A" if math.isnan(low) else f"[{_end(low, digits)}, {_end(high, digits)}]"


def _end(value: float, digits: int) -> str:
    while value and round(value, digits) == 0 and digits < 6:
        digits += 1
    return number(value, digits)


def with_span(
    value: float, low: float, high: float, digits: int = 4, *, signed: bool = False
) -> str:
    """ "0.45 [0.04, 0.79]", with "+" before a value above 0 if `signed`; one "N/A" for neither."""
    if math.isnan(value) and math.isnan(low):
        return "N/A"
    sign = "+" if signed and value > 0 else ""
    return f"{sign}{number(value, digits)} {span(low, high, digits)}"


def plural(count: int, noun: str, *, separator: str = "") -> str:
    """ "1 prompt", "2 prompts"."""
    return f"{count:{separator}} {noun}" + ("" if count == 1 else "s")


def is_or_are(count: int) -> str:
    """The verb behind so many things."""
    return "is" if count == 1 else "are"


def roughly(count: int) -> int:
    """A count of which two digits can be trusted: 1,827 becomes 1,800."""
    return round(count, min(0, 2 - len(str(count))))


def split_list(listed: str) -> list[str]:
    r"""Names between commas, without the white space around them: `A, B\,C` -> "A", "B,C"."""
    return [name.strip().replace(r"\,", ",") for name in re.split(r"(?<!\\),", listed)]


def duration(seconds: float) -> str:
    """ "40 seconds", "12 minutes", "3.5 hours"."""
    if seconds < 1.5 * _MINUTE:
        return plural(max(1, round(seconds)), "second")
    if seconds < 1.5 * _HOUR:
        return plural(round(seconds / _MINUTE), "minute")
    return f"{seconds / _HOUR:.1f} hours"


def share_of(share: float, count: int) -> str:
    """A share of so many as "8 of 10"; halves stay ("7.5 of 10"), and of none there is 0."""
    whole = 0.0 if math.isnan(share) else round(2 * share * count) / 2
    return f"{whole:g} of {count}"


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """The table as markdown without a closing line break; the first `left` columns left-aligned.

    A cell is one line: what a terminal would obey is written out. `|` becomes `\\|`.
    """
    writer = MarkdownTableWriter(
        headers=[*map(visible, headers)], value_matrix=[[*map(visible, row)] for row in rows]
    )
    # As text: the writer would otherwise cut trailing zeros column by column.
    writer.type_hints = [String] * len(headers)
    writer.column_styles = [
        Style(align="left" if column < left else "right") for column in range(len(headers))
    ]
    table: str = writer.dumps()
    return table.rstrip("\n")


def join_blocks(*blocks: str | Sequence[str]) -> str:
    """Blocks of text, or of lines, with an empty line between them; empty ones are dropped.

    A line stays one: a line break in it, such as that of a name, is written out.
    """
    texts = [
        block if isinstance(block, str) else "\n".join(map(visible, block)) for block in blocks
    ]
    return "\n\n".join(text for text in texts if text) + "\n"


def plain(value: Any) -> Any:
    """Dataclasses and mappings become objects, tuples lists, and NaN null."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
