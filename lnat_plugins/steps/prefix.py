"""The first part of a response, where only that is scored: so many tokens, or so many steps.

Prefix scoring is of TEMP (arXiv 2606.26797). Where it is cut is ours: whole steps, so that every
step of a prefix has the score that it has in the whole trace, and nothing after it is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from lnat_plugins.errors import ConfigError

_REMEDY: Final = "write 512 (tokens), '512 tokens' or '8 steps'"
_UNITS: Final[dict[str, Literal["tokens", "steps"]]] = {
    "": "tokens", "token": "tokens", "tokens": "tokens", "step": "steps", "steps": "steps",
}  # fmt: skip
_CHARACTERS_A_TOKEN: Final = 4


@dataclass(frozen=True)
class Prefix:
    """How much of a response is scored, from its beginning.

    count: 1 or more.
    unit: "steps" = the first `count` steps; "tokens" = the steps that end within the first `count`
        tokens, tags included, or where the first step is longer, its first `count` tokens.
    """

    count: int
    unit: Literal["tokens", "steps"]

    def __str__(self) -> str:
        """As written in settings: "512 tokens", "1 step"."""
        return f"{self.count} {self.unit if self.count > 1 else self.unit[:-1]}"

    def beginning(self, text: str) -> str:
        """About the text that holds it, for an estimate before it is tokenised."""
        return text[: _CHARACTERS_A_TOKEN * self.count] if self.unit == "tokens" else text


def parse_prefix(value: object, where: str = "") -> Prefix:
    """Read the `prefix` setting: a number of tokens (512, "512 tokens"), or of steps ("8 steps").

    Raises ConfigError for anything else, and for 0.
    """
    written = value if isinstance(value, int | str) and not isinstance(value, bool) else ""
    found = re.fullmatch(r"([1-9][0-9]{0,8})\s*([a-z]*)", str(written).strip())
    if found is None or found[2] not in _UNITS:
        raise ConfigError(
            "a prefix is a number of tokens or of steps, 1 or more",
            where=where, found=value, remedy=_REMEDY,
        )  # fmt: skip
    return Prefix(int(found[1]), _UNITS[found[2]])


def in_words(setting: str) -> str:
    """The setting for people: "the first 512 tokens of each response"; "" for none."""
    return f"the first {setting} of each response" if setting else ""
