"""How far a scoring run is: in tokens read, with the time that is left.

How many tokens a response will cost is known only once it is cut and planned, its characters at
once. So the bar goes by characters, which cost alike, and is told in tokens at the rate so far.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from tqdm import tqdm


class Progress:
    """A bar over all that is to be scored, by whichever process.

    Args:
        total: characters of all responses.
        name: what stands before the bar.
        tokens: tokens that this process has read up to now.
        disable: whether nothing is shown.
    """

    def __init__(
        self, total: float, name: str, tokens: Callable[[], int], *, disable: bool
    ) -> None:
        self._total = total
        self._tokens = tokens
        self._before = tokens()
        self._own = 0.0
        # No total before something is read. Without smoothing the time left is by the whole run so
        # far, not by its last prompt.
        self._bar: tqdm[Any] = tqdm(
            desc=name, unit="token", unit_scale=True, smoothing=0, disable=disable
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def done(self, cost: float, behind: float) -> None:
        """One more prompt is scored.

        Args:
            cost: its characters.
            behind: those that were taken before it, by anybody.
        """
        self._own += cost
        rate = (self._tokens() - self._before) / self._own if self._own else 0.0
        self._bar.total = max(1, round(self._total * rate))
        self._bar.update(round((behind + cost) * rate) - self._bar.n)
