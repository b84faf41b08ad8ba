"""What a race found, in figures and in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Place = Literal["in", "out", "placed"]
Stop = Literal["running", "settled", "prompts used up", "max_tokens"]


@dataclass(frozen=True)
class Placed:
    """A teacher that is read no further.

    Attributes:
        place: "out", "in" (one of those sought), or "placed" where the whole order is sought.
        prompts: how many prompts had been read.
        against: the teachers that decided it: those better than one that is out, those worse than
            one that is in, all others for the whole order.
        phase: 1, or 2 for the second reading.
    """

    teacher: str
    place: Place
    prompts: int
    against: tuple[str, ...]
    phase: int


@dataclass(frozen=True)
class Lead:
    """The closest pair that is not settled.

    Attributes:
        teacher, rival: who leads whom.
        mean: mean difference, nats per token.
        low, high: confidence sequence. Each end holds at every look and for all comparisons of the
            race at once, with probability 1 - error.
        needed: the total number of prompts at which the pair is settled with probability 0.8 (see
            `needed.prompts_needed`); None if 100 times those read do not suffice.
        drawing_share: the share of the difference's variance that is due to drawing steps; NaN if
            not known.
    """

    teacher: str
    rival: str
    mean: float
    low: float
    high: float
    needed: int | None
    drawing_share: float


@dataclass(frozen=True)
class Outcome:
    """The state of a race.

    Attributes:
        goal: "best", "top 3" or "order".
        error: the probability of a wrong statement, at most, over the whole race.
        stop: why no more is read.
        chosen: the teachers sought, highest mean first; for the order all that are placed. Empty
            for "best" until all others are out.
        remaining: the teachers that are not settled, highest mean first.
        means: teacher -> mean over the prompts it was compared on last, nats per token; those of
            teachers that left at different times are over different prompts, so they do not
            compare.
        placed: in the order in which they left.
        prompts: prompts read in the first phase; all: prompts that there are.
        left_out: prompts read that are in no comparison, undefined for a teacher in the race.
        undefined: teacher -> its undefined responses among those read.
        tokens: read.
        exact_tokens, global_tokens: what exact scoring, and one global pass, would have read of all
            responses.
        lead: of the closest pair that is not settled; None if all is.
    """

    goal: str
    error: float
    stop: Stop
    chosen: tuple[str, ...]
    remaining: tuple[str, ...]
    means: Mapping[str, float]
    placed: tuple[Placed, ...]
    prompts: int
    all: int
    left_out: int
    undefined: Mapping[str, int]
    tokens: int
    exact_tokens: float
    global_tokens: float
    lead: Lead | None

    @property
    def settled(self) -> bool:
        """Whether nothing remains."""
        return not self.remaining

    @property
    def share_of_exact(self) -> float:
        """Tokens read / tokens of exact scoring."""
        return self.tokens / self.exact_tokens

    @property
    def share_of_global(self) -> float:
        """Tokens read / tokens of one global pass."""
        return self.tokens / self.global_tokens

    @property
    def sentence(self) -> str:
        """The verdict, and what it took; one sentence or two, without the last full stop."""
        return (
            f"{self._settled if self.settled else self._open}. Read: {self.prompts} of {self.all} "
            f"prompts, {percent(self.share_of_exact)} of the tokens of exact scoring, "
            f"{percent(self.share_of_global)} of those of one global pass"
        )

    @property
    def _settled(self) -> str:
        names = ", ".join(self.chosen)
        if self.goal == "best":
            found = f"{names} is best"
        elif self.goal == "order":
            found = f"From best to worst: {names}"
        else:
            found = f"The {self.goal}: {names}"
        return f"{found} (error at most {percent(self.error)})"

    @property
    def _open(self) -> str:
        names = ", ".join(self.remaining)
        if self.goal == "best":
            found = f"the best is one of {names}"
        elif self.goal == "order":
            found = f"the places of {names} are open"
        else:
            known = f"{', '.join(self.chosen)}, and of " if self.chosen else "of "
            found = f"the {self.goal} are {known}{names}"
        found = f"Not settled (error at most {percent(self.error)}): {found}"
        if self.lead:
            half = max(self.lead.high - self.lead.mean, self.lead.mean - self.lead.low)
            found += (
                f"; {self.lead.teacher} leads {self.lead.rival} by {self.lead.mean:.3f} ± "
                f"{half:.3f} nats per token"
            )
            if self.lead.needed:
                found += f", and about {self.lead.needed:,} prompts would tell (probability 80%)"
        return found


def percent(share: float) -> str:
    """Two figures below 1, whole percents above: "5.7%", "140%"."""
    return f"{100 * share:.2g}%" if share < 1 else f"{100 * share:.0f}%"
