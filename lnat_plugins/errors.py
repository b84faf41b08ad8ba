"""The exceptions a user may meet, and how they are worded.

Knows nothing of everything else. The tree::

    LnatError            one clear line, exit code 2
    ├── ConfigError      a setting: unknown key, name, window, splitter, option
    ├── DataError        a row of a teacher set or of a samples file
    └── StudentError     a tokenizer, a model or a back end that cannot be scored with
    PluginWarning        a plugin that failed where the run can go on without it

Every error says what is wrong, where, what was found, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final

_NOTHING: Final = object()


class LnatError(Exception):
    """Base of every error that bad input can cause.

    Args:
        what: what is wrong, without a full stop ("empty response").
        where: file, row, field, prompt and teacher, as far as known.
        found: the offending value; shown shortened. Leave out if there is none.
        remedy: what the user should do, as a sentence without a full stop.
    """

    exit_code: int = 2

    def __init__(
        self, what: str, *, where: str = "", found: object = _NOTHING, remedy: str = ""
    ) -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        message = f"{where}: {what}" if where else what
        if found is not _NOTHING:
            message += f" (found {shorten(found)})"
        if remedy:
            message += f". {remedy[0].upper()}{remedy[1:]}"
        super().__init__(message + ".")

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels between processes as it is worded; what was found may not."""
        return _again, (type(self), str(self), self.what, self.where, self.remedy)


def _again(kind: type[LnatError], message: str, what: str, where: str, remedy: str) -> LnatError:
    error = kind(what, where=where, remedy=remedy)
    error.args = (message,)
    return error


class ConfigError(LnatError):
    """A setting, an option or a name that does not exist or cannot hold."""


class DataError(LnatError):
    """A row, a column or a file that cannot be read as part of a teacher set or of scores."""


class StudentError(LnatError):
    """A tokenizer, a model or a back end that cannot score what was asked."""


class PluginWarning(UserWarning):
    """A plugin was left out, or one that only listens failed; the rest goes on without it."""


def shorten(value: object, limit: int = 80) -> str:
    """The value as Python writes it, cut in the middle to at most `limit` characters."""
    text = repr(value if not isinstance(value, str) else value[: 4 * limit])
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
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}? " if close else ""
