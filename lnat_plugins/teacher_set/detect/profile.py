"""What the columns of sampled rows hold: kinds of values, lengths, what repeats.

A row is a mapping of column to value; null, NaN and empty text count as not filled.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Literal

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set.answers import n_words
from lnat_plugins.teacher_set.cells import ABSENT, lookup
from lnat_plugins.teacher_set.conversations import THINKING_KEYS, holds_reply, is_choice
from lnat_plugins.teacher_set.fields import correctness, known

Values = Mapping[str, Any]
Kind = Literal[
    "text", "number", "bool", "object", "reply", "conversation", "turns", "texts", "verdicts",
    "replies", "objects", "list", "",
]  # fmt: skip
"""Of a value. reply: an object or a list that is one answer; conversation: turns up to an
assistant's; turns: turns up to a user's; texts, verdicts, replies, objects: lists of those."""

ASSISTANT: Final = ("assistant", "gpt", "model", "chatgpt", "bot")
"""Names of the role that writes responses."""

_LIST: Final = re.compile(r"""\s*\[[\[{(\s]*["'].*\]\s*""", re.DOTALL)  # ["...", ...] or [{"...
_KEYS: Final = 200  # of an object that is looked into
_DEPTH: Final = 8  # of objects in objects
_READ: Final = 400  # characters of a text in which words are counted
_FEW: Final = 50  # values that a column of names has at most


@dataclass(frozen=True)
class Column:
    """One column over the sampled rows.

    filled: rows with a value. kind: of most of them. distinct: different values.
    chars, words: medians of the text in it; words are those of its beginning.
    verdicts: share of the values that are verdicts, or lists of them.
    coded: whether its text spells out lists, or what an API returned, as CSV cells do.
    """

    name: str
    filled: int
    kind: Kind
    chars: float
    words: float
    distinct: int
    verdicts: float
    coded: bool = False

    @property
    def is_free(self) -> bool:
        """Whether it holds free text, as a response or a thinking part does."""
        wordy = self.words >= 3 or self.chars >= 60
        return self.kind in ("text", "texts", "reply", "replies") and wordy and self.varied

    @property
    def varied(self) -> bool:
        """Whether its values differ between rows, more than those of a setting do."""
        return self.filled == 1 or self.distinct > max(1, min(_FEW, self.filled // 5))

    @property
    def is_names(self) -> bool:
        """Whether it holds few short values that repeat, as the names of teachers do."""
        short = self.kind == "number" or (self.kind == "text" and self.words <= 6)
        repeats = self.distinct * 2 <= self.filled or self.filled < 10
        return short and self.chars <= 100 and self.distinct <= _FEW and repeats


def kind_of(value: Any) -> Kind:
    """What a value is; "" for one that is not filled."""
    value = known(value)
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, Mapping):
        return "reply" if _is_reply(value) else "object"
    return _kind_of_list(value) if isinstance(value, list | tuple) else "object"


def _is_reply(value: Values) -> bool:
    if value.get("choices") is not None or is_choice(value):
        return True
    return holds_reply(value) and role_of(value) in ("", *ASSISTANT)


def _kind_of_list(value: Sequence[Any]) -> Kind:
    items = [item for item in value if known(item) is not None]
    if not items:
        return ""
    if all(isinstance(item, str) for item in items):
        return "texts"
    if all(isinstance(item, bool | int | float) for item in items):
        return "verdicts" if all(item in (0, 1) for item in items) else "list"
    if not all(isinstance(item, Mapping) for item in items):
        return "list"
    roles = [role_of(item) for item in items]
    if all(roles) and all("content" in item or "value" in item for item in items):
        if roles[-1] not in ASSISTANT:
            return "turns"
        if all(role in ASSISTANT for role in roles):
            return "reply" if len(items) == 1 else "objects"
        return "conversation"
    if all(isinstance(item.get("type"), str) for item in items):
        return "reply" if all("text" in item or "thinking" in item for item in items) else "objects"
    return "replies" if all(is_choice(item) for item in items) else "objects"


def role_of(turn: Any) -> str:
    """Who wrote a turn, in lower case; "" where it says nothing, or is no turn."""
    if not isinstance(turn, Mapping):
        return ""
    role = turn.get("role") if turn.get("role") is not None else turn.get("from")
    return role.lower() if isinstance(role, str) else ""


def text_of(value: Any) -> str:
    """The text in a value, however deep; of a conversation that of its last turn."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        for key in ("choices", "message", "content", "value", "text"):
            if value.get(key) is not None:
                thought = next((value[k] for k in THINKING_KEYS if value.get(k)), "")
                own = text_of(value[key])
                return f"{thought}\n{own}" if isinstance(thought, str) and thought else own
        return ""
    if isinstance(value, list | tuple) and value:
        if kind_of(value) in ("conversation", "turns"):
            return text_of(value[-1])
        return "\n".join(map(text_of, value))
    return ""


def as_key(value: Any) -> str:
    """A value as text that equal values share; what cannot be written shares that of its class."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    except Exception:  # noqa: BLE001 - too many digits, or whatever a class of a plugin's raises
        return type(value).__name__


class Table:
    """Sampled rows, each with its file, and the profile of every column in them."""

    def __init__(self, files: Mapping[str, Sequence[Values]]) -> None:
        self.files = tuple(files)
        self.rows: list[Values] = [row for rows in files.values() for row in rows]
        self.file_of: list[str] = [name for name, rows in files.items() for _ in rows]
        names: dict[str, None] = {}
        for row in self.rows:
            names.update(dict.fromkeys(map(str, row)))
        self.columns: dict[str, Column] = {name: self._profile(name) for name in names}
        self.names = tuple(column.name for column in self.filled())
        self._paths: dict[str, Column | None] = {}

    def values(self, column: str) -> list[Any]:
        """The column's value in every row, None where it is not filled; paths too."""
        found = (lookup(row, column) for row in self.rows)
        return [None if value is ABSENT or value == "" else known(value) for value in found]

    def column(self, name: str) -> Column | None:
        """The profile of a column or a dotted path; None if no row has it."""
        if name not in self.columns and name not in self._paths:
            there = any(lookup(row, name) is not ABSENT for row in self.rows)
            self._paths[name] = self._profile(name) if there else None
        return self.columns.get(name) or self._paths[name]

    def inner(self, column: Column) -> list[Column]:
        """The columns under the keys of an object's column, as dotted paths, however deep."""
        values = [value for value in self.values(column.name) if isinstance(value, Mapping)]
        found: list[Column] = []
        keys = dict.fromkeys(str(key) for value in values for key in value)
        if len(keys) > _KEYS or column.name.count(".") > _DEPTH:
            return []  # by ids, or the like
        for key in keys:
            own = self.column(f"{column.name}.{key}")
            if own is not None and own.filled:
                found += [own] if own.kind != "object" else []
                found += self.inner(own) if own.kind in ("object", "reply") else []
        return found

    def filled(self) -> list[Column]:
        """The columns that have a value in some row."""
        return [column for column in self.columns.values() if column.filled and column.kind]

    def keys(self, columns: Iterable[str]) -> list[str]:
        """For every row its values in several columns, as text that equal values share."""
        taken = [self.values(column) for column in columns]
        return [as_key(row) for row in zip(*taken, strict=True)]

    def _profile(self, name: str) -> Column:
        kept = [(value, kind) for value in self.values(name) if (kind := kind_of(value))]
        if not kept:
            return Column(name, 0, "", 0, 0, 0, 0)
        counted: Counter[Kind] = Counter(kind for _, kind in kept)
        kind = counted.most_common(1)[0][0]
        texts = [text for value, _ in kept for text in _texts(value)]
        return Column(
            name=name,
            filled=len(kept),
            kind=kind,
            chars=median(map(len, texts)) if texts else 0,
            words=median(n_words(text[:_READ]) for text in texts) if texts else 0,
            distinct=len({as_key(value) for value, _ in kept}),
            verdicts=sum(_is_verdict(value) for value, _ in kept) / len(kept),
            coded=sum(map(_is_coded, texts)) >= 0.9 * len(texts) if kind == "text" else False,
        )


def _is_coded(text: str) -> bool:
    """Whether text is a list of text or of objects, as JSON, Python or numpy writes it."""
    if _LIST.fullmatch(text):
        return True
    try:
        value = json.loads(text) if text.startswith('{"') else None
    except (ValueError, RecursionError):
        return False
    return isinstance(value, Mapping) and _is_reply(value)


def _texts(value: Any) -> list[str]:
    if isinstance(value, list) and value and all(isinstance(item, str | None) for item in value):
        return [item for item in value if item]
    return [text_of(value)]


def _is_verdict(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    try:
        for one in values:
            correctness(one, "")
    except DataError:
        return False
    return any(known(one) is not None for one in values)


def varies(values: Sequence[Any], groups: Sequence[str]) -> float | None:
    """The share of the groups of two rows and more in which the values differ; None without any."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for group, value in zip(groups, values, strict=True):
        if value is not None:
            found[group].append(as_key(value))
    several = [own for own in found.values() if len(own) > 1]
    if not several:
        return None
    return sum(len(set(own)) > 1 for own in several) / len(several)


def same_text(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two columns hold the same text wherever both are filled, in nine rows of ten."""
    both = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    equal = sum(text_of(a).strip() == text_of(b).strip() for a, b in both)
    return bool(both) and equal >= 0.9 * len(both)
