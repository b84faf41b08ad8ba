"""The exceptions a user may meet, and how they are worded.

The tree::

    LnatError            one clear line, exit code 2
    ├── ConfigError      a setting: unknown key, name, window, splitter, option
    ├── DataError        a row of a teacher set or of a samples file
    └── StudentError     a tokenizer, a model or a back end that cannot be scored with
    PluginWarning        a plugin that failed where the run can go on without it

Every error says what is wrong, where, what was found, and what to do. Input is checked once, where
it enters, by pydantic models; `validate` turns their errors into ours.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from numbers import Real
from typing import Any, Final, TypeGuard, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)

_NOTHING: Final = object()


class LnatError(Exception):
    """Base of every error that bad input can cause.

    Args:
        what: what is wrong, without a full stop ("empty response").
        where: file, row, field, prompt and teacher, as far as known.
        found: the wrong value, if there is one; shown shortened.
        remedy: what the user should do, without a full stop.
        reason: `what` without the figures of this one row, by which rows are counted; by default
            `what` itself.
    """

    exit_code: int = 2

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        found: object = _NOTHING,
        remedy: str = "",
        reason: str = "",
    ) -> None:
        self.what = what
        self.reason = reason or what
        self.where = where
        self.remedy = remedy
        message = f"{_cut(where)}: {_cut(what)}" if where else _cut(what)
        if found is not _NOTHING:
            message += f" (found {shorten(found)})"
        if remedy:
            message += f". {remedy[0].upper()}{_cut(remedy[1:])}"
        super().__init__(visible(message + "."))

    def __reduce__(self) -> tuple[Any, ...]:
        # by its message, because what was found may not be picklable
        return Exception.__new__, (type(self), str(self)), self.__dict__


class ConfigError(LnatError):
    """A setting, an option or a name that does not exist or has a wrong value."""


class DataError(LnatError):
    """A row, a column or a file that cannot be read as part of a teacher set or of scores."""


class StudentError(LnatError):
    """A tokenizer, a model or a back end that cannot score what was requested."""


class PluginWarning(UserWarning):
    """A plugin was skipped, or an observer failed; the rest goes on without it."""


_LONGEST_PART: Final = 1_000


def _cut(text: str) -> str:
    """Text of a message, without its middle where it is longer than a reader reads."""
    half = _LONGEST_PART // 2
    return text if len(text) <= _LONGEST_PART else f"{text[:half]}...{text[-half:]}"


_UNSEEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters, escapes of terminals among them, marks that turn the direction of writing,
and halves of characters, which no terminal can print."""


def visible(text: str, *, keep: str = "") -> str:
    """The text with what a terminal would obey written as Python writes it: `\\x1b`, `\\n`.

    `keep`: characters that stay as they are, such as the line breaks of a text of several lines.
    """
    return _UNSEEN.sub(lambda one: one[0] if one[0] in keep else repr(one[0])[1:-1], text)


PASSES_ON: Final = (KeyboardInterrupt, GeneratorExit)
"""Of all that a plugin may raise, what is not its failure: the user ends the run, or a generator
is closed. `SystemExit` is one, which would end the run without a word."""


def class_and_text(error: BaseException) -> str:
    """As a traceback ends: "ValueError: no such row"; of one that fails to say it, the class."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - of a class of a plugin's
        return type(error).__name__


def shorten(value: object, limit: int = 80) -> str:
    """The value as Python writes it, cut in the middle to at most `limit` characters."""
    try:
        text = repr(value if not isinstance(value, str) else value[: 4 * limit])
    except RecursionError:
        text = f"a {type(value).__name__} that is nested too deep"
    except Exception:  # noqa: BLE001 - of a plugin's class, or a number of too many digits
        text = f"a value of type {type(value).__name__} that cannot be shown"
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A remedy that offers the nearest known name, and lists them all when they are few."""
    names = sorted(known)
    return f"{nearest(name, names)}known: {', '.join(names)}" if names else "none is known here"


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that offers the nearest known name, or nothing if none is near."""
    names = {one.lower(): one for one in known}
    word = name.lower()
    begun = [one for one in names if word and one.startswith(word)]
    close = begun or difflib.get_close_matches(word, names, n=1, cutoff=0.55)
    return f"did you mean {names[close[0]]!r}? " if close else ""


_MUST_BE: Final = {
    "string_type": "text",
    "string_too_short": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "list_type": "a list",
    "tuple_type": "a list",
    "too_short": "a list that is not empty",
    "dict_type": "a mapping of names to values",
    "mapping_type": "a mapping of names to values",
    "model_type": "a mapping of names to values",
    "model_attributes_type": "a mapping of names to values",
}
"""pydantic's type of error -> what the value must be, in words."""


def validate(
    model: type[Model],
    values: Any,
    *,
    where: str = "",
    kind: type[LnatError] = ConfigError,
    key: str = "key",
    prefix: str = "",
    remedy: str = "",
) -> Model:
    """The values as a model; the first thing wrong with them as one line.

    A validator of the model raises `ValueError("what is wrong")`, or a `LnatError`, which passes as
    it is. The words for a field of the wrong type come from its annotation; a field may
    bring its own: `Field(json_schema_extra={"must_be": "...", "remedy": "..."})`.

    Args:
        model: strict, and refuses unknown keys (`extra="forbid"`).
        values: as read.
        kind: the exception to raise.
        key: what a key is called in the message ("key in `naturalness`").
        prefix: written before the name of the field ("naturalness: ").
        remedy: for a field that has no remedy of its own.
    """
    try:
        return model.model_validate(values)
    except ValidationError as cause:
        errors = cause.errors()
    # a misspelt key explains the missing one, so it comes first
    unknown = [
        one for one in errors
        if one["type"] in ("extra_forbidden", "invalid_key") and len(one["loc"]) == 1
    ]  # fmt: skip
    error = (unknown or errors)[0]
    path = [str(part) for part in error["loc"]]
    problem, found, context = error["type"], error["input"], error.get("ctx", {})
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if unknown:
        remedy = did_you_mean(path[0], fields)
        raise kind(f"unknown {key}", where=where, found=path[0], remedy=remedy)
    extra = fields[path[0]].json_schema_extra if path and path[0] in fields else None
    words: dict[str, Any] = dict(extra) if isinstance(extra, dict) else {}
    if problem == "missing" and len(path) == 1:
        remedy = words.get("remedy") or remedy or f"add `{path[0]}`"
        raise kind(f"the {key} `{path[0]}` is missing", where=where, remedy=remedy)
    at = ": ".join(part for part in (where, f"{prefix}{': '.join(path)}") if part)
    if path[-1:] == ["[key]"]:
        at = at.removesuffix(": ".join(["", *path[-2:]]))
        raise kind("keys must be text, in quotes", where=at, found=found)
    if problem == "literal_error":
        choices = [part.strip("'") for part in re.split(r", | or ", context["expected"])]
        raise kind(
            "no such choice", where=at, found=found, remedy=did_you_mean(str(found), choices)
        )
    must_be = _MUST_BE.get(problem, error["msg"][0].lower() + error["msg"][1:])
    if problem == "greater_than_equal":
        must_be = f"{context['ge']} or more"
    elif problem == "greater_than":
        must_be = f"above {context['gt']}"
    what = f"this must be {words.get('must_be', must_be)}"
    if problem == "value_error":
        what = str(context["error"])
    raise kind(what, where=at, found=found, remedy=words.get("remedy", remedy))


NAME_RULE: Final = "a name of lower-case letters, digits and underscores"


def is_name(value: object) -> bool:
    """Whether a value follows `NAME_RULE`, as the names that plugins register must."""
    return isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_]*", value) is not None


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value is text that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def as_float(value: object) -> float | None:
    """A number of any library as a float, infinite beyond floats; None for what is no number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


_NOT_IN_FILE_NAMES: Final = '/\\:*?"<>|'
_LONGEST_NAME: Final = 200
"""Bytes of a name in a file name that may have 255, beside lm-eval's prefix and date."""


def file_name_problem(name: str) -> str:
    """Why a name cannot stand in a file's name on every system; "" if it can.

    Refused are the characters that Linux, macOS or Windows refuse, control characters, white space
    at either end, "." and "..", text that UTF-8 cannot hold, and more than 200 bytes of UTF-8.
    """
    for character in name:
        if character in _NOT_IN_FILE_NAMES:
            return f"no file's name may hold {character!r}"
        if not character.isprintable() and character != "\N{IDEOGRAPHIC SPACE}":
            kind = (
                "half of a character" if "\ud800" <= character <= "\udfff" else "what is not shown"
            )
            return f"this holds {kind}"
    if name != name.strip():
        return "this begins or ends with white space"
    if name in (".", ".."):
        return "this is a folder's"
    if (size := len(name.encode())) > _LONGEST_NAME:
        return f"this has {size} bytes, above {_LONGEST_NAME}"
    return ""


def require(kind: str, entry: Any, field: str, holds: bool, must_be: str) -> None:
    """Raise ConfigError for a plugin's entry with a wrong field, unless the condition `holds`.

    Args:
        kind: "splitter", "metric", "strategy" or "loader"; the entry has a `name`.
        must_be: what the field must be, in words.
    """
    if not holds:
        raise ConfigError(
            f"a {kind}'s `{field}` must be {must_be}",
            where=f"{kind} {entry.name}" if is_text(entry.name) else kind,
            found=getattr(entry, field), remedy=f"fix the {kind}'s definition",
        )  # fmt: skip
