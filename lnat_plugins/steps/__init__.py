"""Cut a response into steps: named splitters, supplied steps, the `steps` setting.

A splitter maps a text to spans that tile it: contiguous, none empty, no character changed. A step
owns the white space that follows it, the first one also that before it. Every splitter takes time
linear in the text. Its version changes whenever its cuts do, because scores cut by different rules
cannot be compared.

This folder knows characters and the numbers of steps; tokens, models and torch are above it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from lnat_plugins.errors import (
    NAME_RULE,
    PASSES_ON,
    ConfigError,
    DataError,
    LnatError,
    class_and_text,
    did_you_mean,
    is_name,
    require,
    shorten,
)
from lnat_plugins.steps.blocks import Span, split_lines, split_paragraphs, split_turns, tile
from lnat_plugins.steps.prefix import Prefix, parse_prefix
from lnat_plugins.steps.sentences import split_sentences

__all__ = [
    "RESERVED", "SPLITTERS", "Markers", "Span", "Splitter", "StepSpec", "parse_steps",
    "supplied_spans", "tile",
]  # fmt: skip

RESERVED: Final = ("supplied", "supplied_or_sentence", "tokens")
"""Words of the `steps` setting that no splitter may have as its name."""

_OTHER_STEPS: Final = "the steps do not join to the response"

StepKind = Literal["splitter", "tokens", "supplied", "supplied_or_sentence"]
Markers = Literal["skip", "keep"]


@dataclass(frozen=True)
class Splitter:
    """A named, versioned function that cuts a text; `str()` gives `name@version` for results.

    Attributes:
        name: as written after `steps:`.
        version: changes whenever the cuts do.
        split: text -> (start, end) spans that tile it. Call `cut`, which checks what it returns.
        owner: the plugin that registered it, for messages; set by the registry.

    Raises ConfigError for a field that is not as above.
    """

    name: str
    version: str
    split: Callable[[str], list[Span]]
    owner: str = ""

    def __post_init__(self) -> None:
        require("splitter", self, "name", is_name(self.name), NAME_RULE)
        free = self.name not in RESERVED
        require("splitter", self, "name", free, f"none of {', '.join(RESERVED)}")
        version: object = self.version
        valid = isinstance(version, str) and re.fullmatch(r"[A-Za-z0-9._+-]+", version) is not None
        require("splitter", self, "version", valid, 'text such as "1"')
        require("splitter", self, "split", callable(self.split), "a function")

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    def cut(self, text: str) -> list[Span]:
        """The spans of the text; ConfigError if `split` fails or its spans do not tile the text."""
        try:
            found = self.split(text)
        except (LnatError, *PASSES_ON):
            raise
        except BaseException as cause:
            raise self._wrong(f"failed: {class_and_text(cause)}", text) from cause
        try:
            spans = [(operator.index(start), operator.index(end)) for start, end in found]
        except (TypeError, ValueError):
            raise self._wrong("gave no list of (start, end) spans", found) from None
        except (LnatError, *PASSES_ON):
            raise
        except BaseException as cause:  # of a generator
            raise self._wrong(f"failed: {class_and_text(cause)}", text) from cause
        reached = 0
        for start, end in spans:
            if start != reached or end <= start:
                problem = (
                    f"left a gap, overlapped or gave an empty step at character {shorten(reached)}"
                )
                raise self._wrong(problem, (start, end))
            reached = end
        if reached != len(text):
            raise self._wrong(
                f"ended at another character than the text, at {shorten(reached)}", text
            )
        return spans

    def _wrong(self, problem: str, found: object) -> ConfigError:
        return ConfigError(
            f"splitter {self} {problem}", where=self.owner, found=found, remedy="fix the plugin"
        )


SPLITTERS: Final[Mapping[str, Splitter]] = MappingProxyType(
    {
        splitter.name: splitter
        for splitter in (
            Splitter("sentence", "2", split_sentences),
            Splitter("line", "1", split_lines),
            Splitter("paragraph", "1", split_paragraphs),
            Splitter("turn", "1", split_turns),
        )
    }
)


@dataclass(frozen=True)
class StepSpec:
    """The `steps` setting: how responses are cut.

    kind: "splitter" cuts every response by `splitter`, "tokens" after every `n` tokens; "supplied"
        takes the steps of the row, "supplied_or_sentence" those or, where the row has none, the
        cuts of `splitter`.
    markers: "skip" = what holds only markup is no step, however the response is cut, and tags are
        read but not scored; "keep" = steps as they are cut, and every token is scored.
    prefix: the part of a response that is scored; None = all of it.
    """

    kind: StepKind
    splitter: Splitter | None = None
    n: int | None = None
    markers: Markers = "skip"
    prefix: Prefix | None = None

    def __str__(self) -> str:
        """As written in results: "sentence@2", "tokens:64", "supplied", "supplied|sentence@2"."""
        if self.kind == "tokens":
            return f"tokens:{self.n}"
        if self.kind == "supplied_or_sentence":
            return f"supplied|{self.splitter}"
        return str(self.splitter or self.kind)


def parse_steps(
    name: str,
    where: str = "",
    splitters: Mapping[str, Splitter] = SPLITTERS,
    markers: Markers = "skip",
    prefix: str = "",
) -> StepSpec:
    """Read the `steps` setting: a splitter's name, `tokens:N`, `supplied`, `supplied_or_sentence`.

    Args:
        name: the setting.
        where: it stands, for messages.
        splitters: name -> splitter, all there are.
        markers, prefix: the settings of these names; "" = no prefix.

    Raises ConfigError for none of these, or an N that is not a whole number of at least 1.
    """
    part = parse_prefix(prefix, where) if prefix else None
    if name == "supplied":
        return StepSpec("supplied", markers=markers, prefix=part)
    if name == "supplied_or_sentence":
        sentence = SPLITTERS["sentence"]
        return StepSpec("supplied_or_sentence", sentence, markers=markers, prefix=part)
    if name in splitters:
        return StepSpec("splitter", splitters[name], markers=markers, prefix=part)
    kind, _, count = name.partition(":")
    if kind == "tokens":
        if re.fullmatch(r"[1-9][0-9]{0,8}", count):
            return StepSpec("tokens", n=int(count), markers=markers, prefix=part)
        raise ConfigError(
            "steps: tokens:N needs a whole number N of at least 1",
            where=where, found=name, remedy="write for example tokens:64",
        )  # fmt: skip
    remedy = did_you_mean(name, [*splitters, "tokens:N", "supplied", "supplied_or_sentence"])
    raise ConfigError("unknown steps setting", where=where, found=name, remedy=remedy)


def supplied_spans(text: str, steps: Sequence[str], where: str = "") -> list[Span]:
    """Spans of the steps that a row supplies; `"".join(steps)` must be exactly `text`.

    Nothing is stripped or repaired: each step includes the white space that follows it.

    Raises DataError for an empty step, or steps that do not join to the text.
    """
    remedy = "the steps joined must give the response, white space included"
    spans: list[Span] = []
    start = 0
    for number, step in enumerate(steps, 1):
        if not step:
            what = f"step {number} of {len(steps)} is empty"
            raise DataError(
                what, where=where, remedy="leave empty steps out", reason="a step is empty"
            )
        if not text.startswith(step, start):
            raise DataError(
                f"step {number} of {len(steps)} differs from the response at character {start}, "
                f"which reads {text[start : start + 40]!r}",
                where=where, found=step, remedy=remedy, reason=_OTHER_STEPS,
            )  # fmt: skip
        spans.append((start, start + len(step)))
        start += len(step)
    if start != len(text):
        what = f"the steps end at character {start}, the response at {len(text)}"
        raise DataError(what, where=where, found=text[start:], remedy=remedy, reason=_OTHER_STEPS)
    return spans
