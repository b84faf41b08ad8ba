"""What a reader must know before trusting the order, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from lnat_plugins.formatting import plural
from lnat_plugins.ranking.result import Ranking

FEW_TEACHERS: Final = 5
FEW_RESAMPLES: Final = 1000

_COUNTED: Final = {2: "Two", 3: "Three", 4: "Four"}


def notes(ranking: Ranking) -> Iterator[str]:
    """What was dropped, what is unsure, what proves nothing."""
    yield from _dropped(ranking)
    yield from _sample_sizes(ranking)
    n_teachers = len(ranking.teachers)
    if ranking.reference is not None and 1 < n_teachers < FEW_TEACHERS:
        # The two-sided p of a perfect order among all T! orders.
        yield (
            f"{_COUNTED[n_teachers]} teachers cannot support a claim about the known order: even a "
            f"perfect Kendall's tau has p = 2/{n_teachers}! = {2 / math.factorial(n_teachers):.3g}."
        )
    if not ranking.agreement.prompts:
        yield f"No prompt has {ranking.agreement.metric} for every teacher: no agreement is given."


def _dropped(ranking: Ranking) -> Iterator[str]:
    left_out = ranking.prompts - ranking.prompts_used
    if left_out:
        least = min(ranking.teachers, key=lambda line: line.scored_prompts)
        yield (
            f"{left_out} of {plural(ranking.prompts, 'prompt')} left out: not scored for every "
            f"teacher (least covered: {least.teacher}, {plural(least.scored_prompts, 'prompt')})."
        )
    for line in ranking.teachers:
        of_all = plural(line.responses, "response")
        for reason, count in line.undefined.items():
            yield f"{line.teacher}: {count} of {of_all} undefined: {reason}."
    if ranking.resamples_undefined:
        yield (
            f"{ranking.resamples_undefined} of {plural(ranking.bootstrap_iters, 'resample')} left "
            "out of the intervals: there the denominators of a teacher's ratio add up to 0."
        )


def _sample_sizes(ranking: Ranking) -> Iterator[str]:
    used, iters = ranking.prompts_used, ranking.bootstrap_iters
    if used == 1:
        yield "One prompt: no interval can be given."
    if 0 < iters < FEW_RESAMPLES and used > 1:
        yield (
            f"Only {plural(iters, 'resample')}: with fewer than {FEW_RESAMPLES} the ends of the "
            "intervals are themselves uncertain."
        )
