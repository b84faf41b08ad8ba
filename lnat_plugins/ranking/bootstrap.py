"""Paired percentile bootstrap over prompts: intervals, and how the order settles.

Every resample draws the same prompts for all teachers. Stability is an m-out-of-n bootstrap:
resamples of fewer or of more prompts than were scored; beyond their own number it takes further
prompts to be like these. Shapes: P prompts, C columns, T teachers, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np

from lnat_plugins.errors import ConfigError
from lnat_plugins.ranking.orders import mean_known, ranks, tau_b
from lnat_plugins.ranking.table import Floats, Ints, ScoreTable

RESAMPLES: Final = 10_000
"""How many are drawn unless a number is given (`--bootstrap_iters`)."""

LEVEL: Final = 0.95
INTERVAL: Final = f"{LEVEL:.0%} interval"
"""What tables and reports call it."""

MOST_RESAMPLES: Final = 1_000_000
"""More are refused, and fewer where there are many teachers; see `most_resamples`."""

_ALWAYS: Final = 10_000
_PAIRS_AT_ONCE: Final = 50_000_000

# Rounded: 0.025 + 2e-17 would be another of 1,000 resamples.
_TAILS: Final = (round((1 - LEVEL) / 2, 9), round((1 + LEVEL) / 2, 9))
_DRAWS_AT_ONCE: Final = 1 << 21
_MANY: Final = 2_000  # prompts from which on each resample is counted by itself


def most_resamples(teachers: int) -> int:
    """How many resamples 2 GB allow, at 40 bytes for each pair of teachers; 10,000 at least."""
    pairs = max(1, teachers * (teachers + 1) // 2)
    return min(MOST_RESAMPLES, max(_ALWAYS, _PAIRS_AT_ONCE // pairs))


def check_resampling(bootstrap_iters: int, seed: int, most: int = MOST_RESAMPLES) -> None:
    """Refuse numbers below 0, and more resamples than `most`."""
    if bootstrap_iters > most:
        raise ConfigError(
            f"bootstrap_iters is above {most:,}, and memory would not do for more",
            found=bootstrap_iters, remedy=f"give {most} or fewer; {_ALWAYS} is the default",
        )  # fmt: skip
    for name, number in (("bootstrap_iters", bootstrap_iters), ("seed", seed)):
        if number < 0:
            raise ConfigError(f"{name} is below 0", found=number, remedy="give 0 or more")


def tau_interval(tau_B: Floats) -> tuple[float, float]:
    """The interval of taus, or of differences of taus, without those that are NaN."""
    known = tau_B[~np.isnan(tau_B)]
    if not len(known):
        return math.nan, math.nan
    # Not interpolated: both ends are values that a tau can take.
    low, high = np.quantile(known, _TAILS, method="inverted_cdf")
    return float(low), float(high)


def simultaneous_intervals(draws: Sequence[Floats]) -> list[tuple[float, float]]:
    """Intervals that hold for all statistics at once, from their joint draws, one list each.

    Percentile intervals, all cut as deep into the tails as leaves `LEVEL` of the joint draws
    inside every one of them (Mandel and Betensky 2008, doi:10.1016/j.csda.2007.09.002), and each at
    least as wide as `tau_interval`, which is what one statistic alone gets. Both ends are values
    that were drawn. A statistic without draws, or with NaN in all, has (NaN, NaN); one that is
    constant does not widen the others.
    """
    from scipy import stats

    found = [(math.nan, math.nan)] * len(draws)
    known = [i for i, draws_B in enumerate(draws) if len(draws_B) and not np.isnan(draws_B).all()]
    if not known:
        return found
    drawn_BS = np.stack([draws[i] for i in known], axis=1)
    drawn_BS = drawn_BS[~np.isnan(drawn_BS).any(axis=1)]
    n_draws = len(drawn_BS)
    if not n_draws:
        return found
    # How far out each value lies, ties counted as near the middle as they reach.
    below = stats.rankdata(drawn_BS, "max", axis=0)
    above = n_draws + 1 - stats.rankdata(drawn_BS, "min", axis=0)
    outermost_B = (n_draws + 1 - np.minimum(below, above)).max(axis=1)
    depth = n_draws + 1 - int(np.quantile(outermost_B, LEVEL, method="inverted_cdf"))
    sorted_BS = np.sort(drawn_BS, axis=0)
    for column, i in enumerate(known):
        # Ties can leave room at one end only: never cut deeper than for one statistic alone.
        low, high = tau_interval(drawn_BS[:, column])
        found[i] = (
            min(low, float(sorted_BS[depth - 1, column])),
            max(high, float(sorted_BS[n_draws - depth, column])),
        )
    return found


def intervals(values_BT: Floats) -> Floats:
    """(2, T) the ends of each column's interval, interpolated; NaN without a resample."""
    if not len(values_BT):
        return np.full((2, values_BT.shape[1]), np.nan)
    return np.quantile(values_BT, _TAILS, axis=0)


def known_rows(scores_BT: Floats) -> Floats:
    """The resamples in which every teacher has a score; a ratio's denominator may come to 0."""
    return scores_BT[np.isfinite(scores_BT).all(axis=1)]


def resampled_means(
    values_PC: Floats, iters: int, seed: int | Sequence[int], size: int | None = None
) -> Floats:
    """Means over prompts drawn with replacement, (B, C); memory does not grow with B·P.

    With one prompt there is nothing to resample: (0, C), as for no resample.

    Args:
        values_PC: defined everywhere.
        iters, seed: B, and the seed of numpy's default generator.
        size: how many prompts a resample draws; by default P.
    """
    n_prompts, n_columns = values_PC.shape
    if n_prompts < 2:
        return np.empty((0, n_columns))
    size = n_prompts if size is None else size
    generator = np.random.default_rng(seed)
    means_BC = np.empty((iters, n_columns))
    chunk = max(1, _DRAWS_AT_ONCE // max(size, n_prompts))
    starts = range(0, iters, chunk)

    def draw(start: int) -> Ints:
        return generator.integers(0, n_prompts, size=(min(chunk, iters - start), size))

    def add(start: int, drawn: Ints) -> None:
        weights = _counts(drawn, n_prompts)
        means_BC[start : start + len(drawn)] = weights @ values_PC / size

    if len(starts) == 1:
        add(0, draw(0))
        return means_BC
    # The next are drawn meanwhile, by a thread: drawing takes half of the time.
    with ThreadPoolExecutor(1, thread_name_prefix="lnat-bootstrap") as thread:
        ahead = thread.submit(draw, 0)
        for start in starts:
            drawn = ahead.result()
            if start != starts[-1]:
                ahead = thread.submit(draw, start + chunk)
            add(start, drawn)
    return means_BC


def _counts(drawn: Ints, n_prompts: int) -> Floats:
    """(rows, P) how often each prompt was drawn in each row."""
    if n_prompts < _MANY:
        drawn += n_prompts * np.arange(len(drawn))[:, None]
        counts = np.bincount(drawn.ravel(), minlength=len(drawn) * n_prompts)
        return counts.reshape(-1, n_prompts).astype(np.float64)
    found = np.empty((len(drawn), n_prompts))
    for row, own in zip(found, drawn, strict=True):  # so that the counts of one fit the cache
        row[:] = np.bincount(own, minlength=n_prompts)
    return found


@dataclass(frozen=True)
class Stability:
    """Figures by number of prompts; all empty where nothing can be resampled.

    Attributes:
        sizes: numbers of prompts, ascending; the set's own number is one of them.
        first: for each, the share of resamples in which the leader is first; ties share. It
            describes the resampling and is no probability of being best. NaN where no resample of
            that size gives every teacher a score.
        tau: for each, the mean Kendall tau-b of the resampled order with the order of the whole
            set; NaN if every resample, or the whole set, is one tie.
    """

    sizes: tuple[int, ...]
    first: tuple[float, ...]
    tau: tuple[float, ...]


def stability(table: ScoreTable, first: int, scores_BT: Floats, iters: int, seed: int) -> Stability:
    """How the order settles with the number of prompts; the same seed gives the same figures.

    Args:
        table: of the metric; its matched prompts are resampled.
        first: the leader's column.
        scores_BT: the resamples of the set's own size, so that its share is that of the table.
        iters, seed: resamples for every other size, at most 2,000 and fewer for very many prompts.
    """
    if not len(scores_BT) or len(table.teachers) < 2:
        return Stability((), (), ())
    columns_PC = table.columns(table.matched)
    own = len(columns_PC)
    whole = ranks(table.teacher_scores(table.matched)[None])

    def figures(size: int) -> tuple[float, float]:
        drawn_BT = scores_BT
        if size != own:
            # Fewer resamples of many prompts, for the time that they take.
            draws = min(iters, 2_000, max(200, (1 << 24) // size))
            means_BC = resampled_means(columns_PC, draws, (seed, size), size)
            drawn_BT = known_rows(table.of_means(means_BC))
        drawn = ranks(drawn_BT)
        return drawn.share_best(first), mean_known(tau_b(drawn.better, whole.better))

    sizes = grid(own)
    leads, tau = zip(*map(figures, sizes), strict=True)
    return Stability(sizes, leads, tau)


def grid(own: int) -> tuple[int, ...]:
    """10, 20, 50, 100, ... up to ten times the set's own number; that, and the number itself."""
    end = 10 * own
    round_numbers = {lead * 10**power for power in range(1, len(str(end))) for lead in (1, 2, 5)}
    return tuple(sorted({size for size in round_numbers if size <= end} | {own, end}))
