"""What is shown while a student reads: the plan before it, and a bar in tokens with the time left.

All of it goes to standard error and is shown by the first process alone. Bars are off where
Hugging Face's are (`HF_HUB_DISABLE_PROGRESS_BARS=1`, `transformers.logging.disable_progress_bar()`)
and by tqdm's own `TQDM_DISABLE=1`. In a file a bar adds a line every ten seconds at most.
"""

from __future__ import annotations

import io
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Protocol

from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from tqdm import tqdm

from lnat_plugins.engine.planning import Planned
from lnat_plugins.errors import visible
from lnat_plugins.formatting import duration, plural

_FORMAT: Final = (
    "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} tokens "
    "[{elapsed}<{remaining}, {rate_noinv_fmt}]"
)
_SECONDS_IN_A_FILE: Final = 10.0
_NONE: Final = Planned()
_MEASURED: Final = 10.0
"""Seconds of reading from which the time of the whole run is estimated."""


@dataclass(frozen=True)
class ToRead:
    """What a student has to read.

    Attributes:
        prompts, responses: how many are read.
        teachers: whose responses these are.
        tokens: of both.
        warned: what is to be said of the rows -> number of rows, see `rows.count_warned`.
    """

    prompts: int = 0
    responses: int = 0
    teachers: frozenset[str] = frozenset()
    tokens: Planned = _NONE
    warned: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: ToRead) -> ToRead:
        return ToRead(
            self.prompts + other.prompts,
            self.responses + other.responses,
            self.teachers | other.teachers,
            self.tokens + other.tokens,
            Counter(self.warned) + Counter(other.warned),
        )

    def in_words(self, kept: int = 0) -> str:
        """One line; `kept`: responses that are not read, because their records are kept."""
        if not self.responses:
            records = plural(kept, "response", separator=",")
            return f"nothing to read: the records of {records} are kept"
        tokens = self.tokens
        parts = [
            plural(self.prompts, "prompt", separator=","),
            plural(len(self.teachers), "teacher"),
            plural(self.responses, "response", separator=","),
            f"{plural(tokens.tokens, 'token', separator=',')} to read "
            f"({tokens.prompt_tokens:,} of prompts, {tokens.body_tokens:,} of responses and their "
            "windows)",
        ]
        more = f"; the records of {kept:,} other responses are kept" if kept else ""
        return ", ".join(parts) + more


def nothing() -> None:
    """Does nothing: what a reader calls that no bar watches."""


class Reader(Protocol):
    """What reads: a back end, or what holds one.

    Attributes:
        on_read: called after each pass of the student.
    """

    on_read: Callable[[], None]

    @property
    def tokens_read(self) -> int:
        """So far, prompts included."""


def bars_are_on() -> bool:
    """Whether neither Hugging Face's switch nor tqdm's turns bars off."""
    # tqdm reads TQDM_DISABLE itself, where `disable` is not given.
    return not are_progress_bars_disabled() and not tqdm(total=1, file=io.StringIO()).disable


def counting_bar(prompts: Sequence[Any], *, shown: bool) -> Any:
    """Over the prompts whose tokens are counted."""
    return bar_over(prompts, "Counting tokens", " prompts", shown=shown)


def bar_over(items: Sequence[Any], what: str, unit: str, *, shown: bool) -> Any:
    """Over anything; an error closes it, so that it ends its line."""
    return tqdm(items, what, unit=unit, **_options(shown))


def _options(shown: bool) -> dict[str, Any]:
    shown = shown and bars_are_on()
    pace = {} if sys.stderr and sys.stderr.isatty() else {"mininterval": _SECONDS_IN_A_FILE}
    return {**pace, "disable": not shown}


def print_line(text: str) -> None:
    """Print a line about the run, where bars are on."""
    if bars_are_on():
        print(f"lnat: {visible(text)}", file=sys.stderr, flush=True)


class TokenBar:
    """A bar over the tokens of a run, and one line with the time that the run will take.

    Args:
        total: tokens to be read.
        reader: what reads them; its `on_read` is the bar's while it is open.
        shown: whether this process shows it.
        announce: gets the line, once enough was read to say it.
    """

    def __init__(
        self, total: int, reader: Reader, *, shown: bool, announce: Callable[[str], None]
    ) -> None:
        self._total = total
        self._reader = reader
        self._shown = shown and total > 0
        self._announce = announce if self._shown else None
        self._bar: Any = None
        self._before = self._own = self._read_before = 0
        self._warm: tuple[float, int] | None = None

    def __enter__(self) -> TokenBar:
        self._bar = tqdm(
            desc="Scoring", total=self._total, unit=" tok", unit_scale=True, bar_format=_FORMAT,
            # Without smoothing the time left is by the whole run so far, not by its last pass.
            smoothing=0, **_options(self._shown),
        )  # fmt: skip
        self._reader.on_read = self._after_pass
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reader.on_read = nothing
        self._bar.close()

    def begin(self, before: int, own: int) -> None:
        """A prompt of so many tokens is read now, after others of so many, by any process."""
        self._before, self._own = before, own
        self._read_before = self._reader.tokens_read

    def end(self) -> None:
        """The prompt is read, in more or fewer tokens than were planned."""
        self._set(self._before + self._own)

    def _after_pass(self) -> None:
        read = self._reader.tokens_read - self._read_before
        self._set(self._before + min(read, self._own))

    def _set(self, read: int) -> None:
        self._bar.update(max(0, read - self._bar.n))
        now = time.perf_counter()
        if self._warm is None:  # the first pass warms up
            self._warm = now, read
            return
        seconds, tokens = now - self._warm[0], read - self._warm[1]
        if self._announce and seconds >= _MEASURED and tokens > 0 and read < self._total:
            left = duration((self._total - read) / (tokens / seconds))
            with tqdm.external_write_mode(file=sys.stderr):
                self._announce(
                    f"about {left} left, at {tokens / seconds:,.0f} tokens/s "
                    f"(measured on the first {read:,} tokens)"
                )
            self._announce = None
