"""How often a verdict is wrong, on simulated scores whose truth is known.

Prints three markdown tables, line by line. `errors`: the set of teachers that may be best and the
rank intervals, beside a first place that counts as settled by its share of the resamples.
`stated`: for close teachers, what that share says and how often the first is truly best. `needed`:
how often the stated number of prompts leaves one teacher. All noise has variance 1; skewed noise
has its long tail below, as log-probabilities have. Teachers' true scores are equal, or drawn anew
each time, `spread` standard errors of a score apart (standard deviation).

    python examples/benchmark/simulate_verdicts.py                        # an hour or two
    python examples/benchmark/simulate_verdicts.py --tables needed --replications 200
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lnat_plugins.ranking.best_set import BestSet, best_set
from lnat_plugins.ranking.bootstrap import resampled_means
from lnat_plugins.ranking.orders import ranks

Floats = NDArray[np.float64]
NOISES = ("normal", "exponential", "lognormal", "t3")
TABLES = ("errors", "stated", "needed")
DEVIATIONS = {"equal": (1.0, 1.0), "0.3 to 2": (0.3, 2.0)}
SPREADS = (0.25, 0.5, 1.0, 2.0, 5.0)
SURE = 0.95
"""The share of resamples from which the first place counts as settled by share."""
FAR = 2.0
"""The spread of the unequal teachers in the table of errors."""


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate, print, and return 0."""
    args = parse(argv)
    for table in args.tables:
        for line in {"errors": errors, "stated": stated, "needed": needed}[table](args):
            print("| " + " | ".join(line) + " |", flush=True)
        print(flush=True)
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--replications", type=int, default=2000, help="data sets a line")
    parser.add_argument("--bootstrap_iters", type=int, default=500, help="resamples a data set")
    parser.add_argument("--teachers", type=int, nargs="+", default=[2, 3, 4, 8, 12])
    parser.add_argument("--prompts", type=int, nargs="+", default=[30, 100])
    parser.add_argument("--noises", nargs="+", choices=NOISES, default=list(NOISES))
    parser.add_argument("--seed", type=int, default=1234)
    return parser.parse_args(argv)


def noise(generator: np.random.Generator, name: str, shape: tuple[int, int]) -> Floats:
    """Of mean 0 and variance 1."""
    if name == "exponential":
        return 1 - generator.exponential(size=shape)
    if name == "lognormal":
        return (math.exp(0.5) - generator.lognormal(size=shape)) / math.sqrt(math.e**2 - math.e)
    if name == "t3":
        return generator.standard_t(3, shape) / math.sqrt(3)
    return generator.normal(size=shape)


def scored(
    generator: np.random.Generator, name: str, true_T: Floats, deviation_T: Floats, prompts: int
) -> Floats:
    """(P, T) scores; a prompt is as hard for all teachers."""
    shared_P1 = generator.normal(size=(prompts, 1))
    noise_PT = noise(generator, name, (prompts, len(true_T)))
    return np.asarray(true_T + shared_P1 + deviation_T * noise_PT)


def verdict(scores_PT: Floats, iters: int, seed: int, outcomes: int = 0) -> tuple[BestSet, Floats]:
    """The verdict, and each teacher's share of the resamples in which it is first."""
    draws_BT = resampled_means(scores_PT, iters, seed)
    standings = ranks(draws_BT)
    first_T = ((standings.better == 0) / standings.tied).mean(axis=0)
    return best_set(scores_PT.mean(axis=0), draws_BT, scores_PT, outcomes=outcomes), first_T


def errors(args: argparse.Namespace) -> Iterator[list[str]]:
    """Shares of data sets. Among equal teachers, held is that of the teacher held least often."""
    yield [
        *("teachers", "prompts", "noise", "deviations", "true scores", "best held", "one member"),
        *("one member, wrong", "mean size", "a statement wrong", "of those out, 0 inside"),
        *("settled by share", "settled, wrong"),
    ]
    yield ["--:", "--:", "---", "---", "---", *["--:"] * 8]
    for teachers, prompts, name in itertools.product(args.teachers, args.prompts, args.noises):
        for deviations, equal in (("equal", True), ("0.3 to 2", True), ("0.3 to 2", False)):
            deviation_T = np.linspace(*DEVIATIONS[deviations], teachers)
            generator = np.random.default_rng((args.seed, teachers, prompts))
            member_RT = np.zeros((args.replications, teachers), dtype=bool)
            found = np.zeros((args.replications, 7))
            for replication in range(args.replications):
                # Equal means the limit of ever smaller differences: one is the best all the same.
                true_rank_T = generator.permutation(teachers)
                true_T = np.zeros(teachers)
                if not equal:
                    drawn_T = -np.sort(-generator.normal(size=teachers))
                    true_T = FAR / math.sqrt(prompts) * drawn_T[true_rank_T]
                best = int(true_rank_T.argmin())
                scores_PT = scored(generator, name, true_T, deviation_T, prompts)
                one, first_T = verdict(scores_PT, args.bootstrap_iters, replication)
                member_RT[replication, list(one.members)] = True
                sole, held = len(one.members) == 1, best in one.members
                low_T, high_T = np.array(one.ranks).T - 1
                ranks_hold = ((low_T <= true_rank_T) & (true_rank_T <= high_T)).all()
                out_T = ~member_RT[replication]
                settled = first_T.max() >= SURE
                found[replication] = [
                    held, sole, sole and (equal or not held), not (held and ranks_hold),
                    (out_T & (np.array(one.high) > 0)).sum(),
                    settled, settled and (equal or first_T.argmax() != best),
                ]  # fmt: skip
            held, sole, wrong, any_wrong, inside, settled, false = found.mean(axis=0)
            inside /= max(1e-9, (~member_RT).sum(axis=1).mean())
            held = member_RT.mean(axis=0).min() if equal else held
            yield [
                *(str(teachers), str(prompts), name, deviations, "equal" if equal else "unequal"),
                *(f"{share:.3f}" for share in (held, sole, wrong)),
                f"{member_RT.sum(axis=1).mean():.2f}",
                *(f"{share:.3f}" for share in (any_wrong, inside, settled, false)),
            ]


def stated(args: argparse.Namespace) -> Iterator[list[str]]:
    """Of the first teacher: what its share of the resamples is, and how often it is the best."""
    yield [
        *("teachers", "prompts", "spread", "share, mean", "first is best", "share ≥ 0.95: in"),
        *("share, mean", "first is best", "one member: in", "it is best"),
    ]
    yield ["--:"] * 10
    for teachers, prompts, spread in itertools.product(args.teachers, args.prompts, SPREADS):
        generator = np.random.default_rng((args.seed, teachers, prompts))
        found = np.zeros((args.replications, 3))
        for replication in range(args.replications):
            true_T = spread / math.sqrt(prompts) * generator.normal(size=teachers)
            scores_PT = scored(generator, "exponential", true_T, np.ones(teachers), prompts)
            one, first_T = verdict(scores_PT, args.bootstrap_iters, replication)
            is_best = scores_PT.mean(axis=0).argmax() == true_T.argmax()
            found[replication] = [first_T.max(), is_best, len(one.members) == 1]
        settled, sole = found[found[:, 0] >= SURE], found[found[:, 2] == 1]
        yield [
            *(str(teachers), str(prompts), str(spread)),
            *(f"{share:.3f}" for share in found[:, :2].mean(axis=0)),
            f"{len(settled) / len(found):.3f}",
            *(f"{share:.3f}" for share in settled[:, :2].sum(axis=0) / max(1, len(settled))),
            f"{len(sole) / len(found):.3f}", f"{sole[:, 1].sum() / max(1, len(sole)):.3f}",
        ]  # fmt: skip


def needed(args: argparse.Namespace) -> Iterator[list[str]]:
    """Scores that many prompts, and counts how often one teacher is left."""
    yield [
        *("teachers", "prompts", "spread", "one member already", "no number", "a number"),
        *("median number / prompts", "reached"),
    ]
    yield ["--:"] * 8
    for teachers, prompts, spread in itertools.product(args.teachers, args.prompts, SPREADS):
        generator = np.random.default_rng((args.seed, teachers, prompts))
        sole, numbers, reached = 0, [], 0
        for replication in range(args.replications):
            true_T = spread / math.sqrt(prompts) * generator.normal(size=teachers)
            known = (true_T, np.ones(teachers))
            scores_PT = scored(generator, "normal", *known, prompts)
            one, _ = verdict(scores_PT, args.bootstrap_iters, replication, 2000)
            sole += len(one.members) == 1
            if one.needed:
                numbers.append(one.needed)
                more_PT = scored(generator, "normal", *known, one.needed - prompts)
                both_PT = np.concatenate([scores_PT, more_PT])
                # The draws' quantile moves little with their number, and so large a set is slow.
                reached += len(verdict(both_PT, 200, replication)[0].members) == 1
        counts = (sole, args.replications - sole - len(numbers), len(numbers))
        yield [
            *(str(teachers), str(prompts), str(spread)),
            *(f"{count / args.replications:.3f}" for count in counts),
            f"{np.median(numbers) / prompts:.1f}" if numbers else "",
            f"{reached / len(numbers):.3f}" if numbers else "",
        ]


if __name__ == "__main__":
    raise SystemExit(main())
