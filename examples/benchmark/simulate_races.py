"""How often a budgeted race is wrong, and what it reads, where the truth is known.

Prints markdown tables, line by line. `errors`: all teachers equal, made-up noise; how often the
teacher that is dropped most often is dropped. `effects`: prompts and tokens read by the size of the
lead. `needed`: how often the stated number of prompts settles a race. With a file of step scores:
`sets`: the same error on real scores, all teachers made equal by centring, prompts drawn anew or
permuted; `estimates`: bias and coverage of sampled steps; `races`: what is read, and the verdict
beside that of exact scoring. A tail of skewed noise lies below, as log-probabilities have it.

    python examples/benchmark/simulate_races.py
    python examples/benchmark/simulate_races.py --scores steps.jsonl --tables sets estimates races

A line of the file: {"set": …, "prompt": …, "teacher": …, "local": [step means], "global": [step
means], "tokens": [counts]}.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lnat_plugins.budget import (
    Costs,
    Estimate,
    Outcome,
    Plan,
    Race,
    Read,
    Trace,
    drawn_steps,
    mean_over_traces,
    plan_steps,
    unusual_lengths,
    with_global_pass,
    without_global_pass,
)
from lnat_plugins.budget.race import FIRST_LOOK
from lnat_plugins.budget.run import PILOT
from lnat_plugins.steps.windows import parse_window

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
MADE_UP = ("errors", "effects", "needed")
OF_FILE = ("sets", "estimates", "races")
NOISES = ("normal", "t3", "exponential", "lognormal 0.5", "lognormal 1", "rare", "rare, announced")
LEADS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0)
ERROR = 0.05
RARE = 0.05


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate, print, and return 0."""
    args = parse(argv)
    for table in args.tables or (MADE_UP + (OF_FILE if args.scores else ())):
        print(f"{table}\n")
        for line in globals()[table](args):
            print("| " + " | ".join(line) + " |", flush=True)
        print(flush=True)
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--tables", nargs="+", choices=MADE_UP + OF_FILE)
    parser.add_argument("--runs", type=int, default=1000, help="races a line")
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--teachers", type=int, nargs="+", default=[2, 4, 12])
    parser.add_argument("--first", type=int, default=FIRST_LOOK, help="prompts before a look")
    parser.add_argument("--noises", nargs="+", choices=NOISES, default=list(NOISES))
    parser.add_argument("--scores", type=Path, help="JSON lines of step scores")
    parser.add_argument("--sets", nargs="+", help="only these of the file")
    parser.add_argument("--window", default="4", help="of the local scores in the file")
    parser.add_argument("--prompt_tokens", type=int, default=100, help="taken for every prompt")
    parser.add_argument("--pilot", type=int, default=PILOT, help="prompts scored exactly at first")
    parser.add_argument("--seed", type=int, default=1234)
    args = parser.parse_args(argv)
    if not args.scores and set(args.tables or ()) & set(OF_FILE):
        parser.error("these tables need --scores")
    return args


def noise(generator: np.random.Generator, name: str, shape: tuple[int, ...]) -> Floats:
    """Of mean 0; of variance 1 but for `rare`, where one row in twenty lies 6 below the others."""
    if name == "exponential":
        return 1 - generator.exponential(size=shape)
    if name.startswith("lognormal"):
        scale = float(name.split()[1])
        deviation = math.sqrt(math.expm1(scale**2) * math.exp(scale**2))
        return (math.exp(scale**2 / 2) - generator.lognormal(0, scale, size=shape)) / deviation
    if name == "t3":
        return generator.standard_t(3, shape) / math.sqrt(3)
    if name.startswith("rare"):
        rare = generator.random(shape) < RARE
        return np.asarray(6 * (RARE - rare) + 0.5 * generator.normal(size=shape))
    return generator.normal(size=shape)


def race_over(values_PT: Floats, unusual_PT: Bools | None = None, **settings: object) -> Outcome:
    """A race over exact scores, one token each."""
    prompts = [str(i) for i in range(len(values_PT))]
    teachers = [str(j) for j in range(values_PT.shape[1])]
    ones_PT = np.ones(values_PT.shape)
    race = Race(prompts, teachers, Costs(ones_PT, ones_PT), unusual=unusual_PT, **settings)
    while reading := race.next():
        race.tell(
            {(i, j): Read(float(values_PT[int(i), int(j)]), 0.0, 1) for i, j in reading.cells}
        )
    return race.outcome


def out(found: Outcome, teachers: int) -> Bools:
    named = {each.teacher for each in found.placed if each.place == "out"}
    return np.array([str(j) in named for j in range(teachers)])


def naive(values_PT: Floats, first: int) -> Bools:
    """(T,) who is dropped by one-sided t-tests at every prompt, as if it were the only one."""
    n = np.arange(first, len(values_PT) + 1)
    worse_T = np.zeros(values_PT.shape[1], dtype=bool)
    for j in range(values_PT.shape[1]):
        d = values_PT - values_PT[:, [j]]
        mean = d.cumsum(axis=0)[first - 1 :] / n[:, None]
        square = (d**2).cumsum(axis=0)[first - 1 :] / n[:, None]
        error = np.sqrt(np.maximum(square - mean**2, 1e-18) / (n[:, None] - 1))
        worse_T[j] = (mean / error >= stats.t.isf(ERROR, n - 1)[:, None]).any()
    return worse_T


def errors(args: argparse.Namespace) -> Iterator[list[str]]:
    """All teachers equal; their deviations go from 0.3 to 2."""
    yield ["noise", "teachers", "t-tests at every prompt", f"first look at {args.first}"]
    yield ["---", "--:", "--:", "--:"]
    for name, teachers in itertools.product(args.noises, args.teachers):
        generator = np.random.default_rng((args.seed, teachers))
        plain, ours = np.zeros((2, args.runs, teachers))
        for run in range(args.runs):
            raw_PT = noise(generator, name, (args.prompts, teachers))
            shared_P1 = generator.normal(size=(args.prompts, 1))
            values_PT = shared_P1 + raw_PT * np.linspace(0.3, 2, teachers)
            known_PT = raw_PT < 6 * RARE - 3 if name == "rare, announced" else None
            found = race_over(values_PT, known_PT, first=args.first, seed=run, error=ERROR)
            ours[run], plain[run] = out(found, teachers), naive(values_PT, 10)
        worst = [each.mean(axis=0).max() for each in (plain, ours)]
        yield [name, str(teachers), *(f"{share:.3f}" for share in worst)]


def effects(args: argparse.Namespace) -> Iterator[list[str]]:
    """One teacher leads all others by a lead in standard deviations of a paired difference."""
    yield [
        *("teachers", "lead", "best named", "wrong", "prompts read, median"),
        *("responses read", "factor against exact"),
    ]
    yield ["--:"] * 7
    for teachers, lead in itertools.product(args.teachers, LEADS):
        generator = np.random.default_rng((args.seed, teachers))
        found = np.zeros((args.runs // 2, 4))
        for run in range(len(found)):
            values_PT = generator.normal(size=(args.prompts, teachers)) / math.sqrt(2)
            values_PT[:, 0] += lead
            one = race_over(values_PT, first=args.first, seed=run, error=ERROR)
            share = one.share_of_exact
            found[run] = one.settled, out(one, teachers)[0], one.prompts, share
        named, wrong, _, share = found.mean(axis=0)
        yield [
            *(str(teachers), f"{lead:.1f}", f"{named:.2f}", f"{wrong:.3f}"),
            *(f"{np.median(found[:, 2]):.0f}", f"{share:.3f}", f"{1 / share:.1f}"),
        ]


def needed(args: argparse.Namespace) -> Iterator[list[str]]:
    """Reads the stated number of prompts, and counts how often the race is then settled."""
    yield [
        *("teachers", "spread", "settled", "no number", "a number", "median number / prompts"),
        "settled there",
    ]
    yield ["--:"] * 7
    prompts = 100
    for teachers, spread in itertools.product([2, 4], [0.5, 1.0, 2.0, 4.0]):
        generator = np.random.default_rng((args.seed, teachers))
        settled, numbers, reached = 0, [], 0
        for run in range(args.runs // 2):
            true_T = spread / math.sqrt(prompts) * generator.normal(size=teachers)
            values_PT = true_T + generator.normal(size=(prompts, teachers))
            one = race_over(values_PT, first=args.first, seed=run, error=ERROR)
            settled += one.settled
            if not one.settled and one.lead and one.lead.needed and one.lead.needed <= 3000:
                numbers.append(one.lead.needed)
                more = one.lead.needed - prompts
                more_PT = true_T + generator.normal(size=(more, teachers))
                reached += _goes_on(one, values_PT, more_PT, args.first)
        runs = args.runs // 2
        yield [
            *(str(teachers), str(spread), f"{settled / runs:.3f}"),
            *(f"{(runs - settled - len(numbers)) / runs:.3f}", f"{len(numbers) / runs:.3f}"),
            f"{np.median(numbers) / prompts:.1f}" if numbers else "",
            f"{reached / len(numbers):.3f}" if numbers else "",
        ]


def _goes_on(one: Outcome, values_PT: Floats, more_PT: Floats, first: int) -> bool:
    """Whether the teachers that remain are settled by more prompts, read after the others.

    The e-values go on from the prompts that were read: the error is that of the first race, which
    had as many comparisons as it had teachers.
    """
    columns = [int(name) for name in one.remaining]
    both_PT = np.concatenate([values_PT, more_PT])[:, columns]
    error = ERROR * (len(columns) - 1) / (values_PT.shape[1] - 1)
    return race_over(both_PT, first=first, error=error, every=5).settled


@functools.cache
def traces(path: Path, window: str, prompt_tokens: int) -> dict[str, list[Trace]]:
    """Set -> its responses; prompts that lack a defined response of some teacher are left out."""
    found: dict[str, list[Trace]] = {}
    seen = parse_window(window)
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            local = [math.nan if each is None else each for each in row["local"]]
            # Without a global pass where the response does not fit the student's context.
            over = row["global"] or [math.nan] * len(local)
            if local and np.isfinite(local).all():
                one = Trace(row["prompt"], row["teacher"], local, over, row["tokens"], seen,
                            prompt_tokens)  # fmt: skip
                found.setdefault(row["set"], []).append(one)
    for name, rows in found.items():
        teachers = {each.teacher for each in rows}
        counts: dict[str, set[str]] = {}
        for each in rows:
            counts.setdefault(each.prompt_id, set()).add(each.teacher)
        found[name] = [each for each in rows if counts[each.prompt_id] == teachers]
    return found


def tables_of(args: argparse.Namespace) -> Iterator[tuple[str, list[list[Trace]]]]:
    """Set and its responses: P rows of T, the same teachers in each."""
    for name, rows in traces(args.scores, args.window, args.prompt_tokens).items():
        if args.sets and name not in args.sets:
            continue
        table: dict[str, list[Trace]] = {}
        for each in sorted(rows, key=lambda each: each.teacher):
            table.setdefault(each.prompt_id, []).append(each)
        yield name, list(table.values())


def of_traces(table: list[list[Trace]]) -> tuple[Floats, Bools]:
    """(P, T) exact scores, and which responses are of unusual length."""
    values_PT = np.array([[np.mean(each.local) for each in row] for row in table])
    lengths_PT = np.array([[sum(each.tokens) for each in row] for row in table], dtype=np.float64)
    return values_PT, unusual_lengths(lengths_PT)


def sets(args: argparse.Namespace) -> Iterator[list[str]]:
    """The worst-off of equal teachers: without knowing the lengths, and with them."""
    yield [
        *("set", "prompts × teachers", "t-tests at every prompt", "without lengths"),
        *("drawn anew", "permuted"),
    ]
    yield ["---", "---", *["--:"] * 4]
    for name, table in tables_of(args):
        values_PT, unusual_PT = of_traces(table)
        values_PT = values_PT - values_PT.mean(axis=0)
        n, teachers = values_PT.shape
        size = min(args.prompts, n)
        generator = np.random.default_rng(args.seed)
        dropped = np.zeros((4, args.runs, teachers))
        for run in range(args.runs):
            anew, permuted = generator.integers(0, n, size), generator.permutation(n)[:size]
            known = {"first": args.first, "seed": run, "error": ERROR}
            dropped[0, run] = naive(values_PT[anew], 10)
            dropped[1, run] = out(race_over(values_PT[anew], None, **known), teachers)
            for place, rows in ((2, anew), (3, permuted)):
                found = race_over(values_PT[rows], unusual_PT[rows], **known)
                dropped[place, run] = out(found, teachers)
        worst = dropped.mean(axis=1).max(axis=1)
        yield [name, f"{n} × {teachers}", *(f"{share:.3f}" for share in worst)]


def sampled(trace: Trace, plan: Plan, seed: int, times: int = 1) -> tuple[Estimate, int]:
    """What the plan reads of a response, and the tokens; `times` as many steps."""
    unread = plan.way == "with_global_pass" and not np.isfinite(trace.global_).all()
    if plan.steps is None or unread:
        return Estimate(float(np.mean(trace.local)), 0.0), round(trace.costs["exact"])
    n = len(trace.tokens)
    steps = drawn_steps(
        n, trace.known, times * plan.steps,
        seed=seed, prompt_id=trace.prompt_id, teacher=trace.teacher,
    )  # fmt: skip
    local = {step: trace.local[step] for step in steps}
    runs = sum(sum(trace.tokens[i - trace.window.preceding(i) : i + 1]) for i in steps)
    if plan.way == "with_global_pass":
        estimate = with_global_pass(trace.global_, local, trace.known)
    else:
        estimate = without_global_pass(trace.local[: trace.known], local, n)
    return estimate, round(trace.costs[plan.way] + runs)


def estimates(args: argparse.Namespace) -> Iterator[list[str]]:
    """Sampled steps against exact scores of the same responses, all prompts of a set."""
    yield [
        *("set", "way", "m", "r", "c_step", "c_pass", "exact", "factor, pilot", "factor, all"),
        *("other way: factor, m", "bias / error", "covered"),
    ]
    yield ["---", "---", *["--:"] * 10]
    for name, table in tables_of(args):
        plan = plan_steps([each for row in table[: args.pilot] for each in row])
        whole = plan_steps([each for row in table for each in row])
        other = [each for each in plan.tried if each[0] != plan.way]
        found = [
            plan.way, str(plan.steps or ""), f"{plan.residual_share:.2f}",
            *(f"{each:.0f}" for each in (plan.step_tokens, plan.pass_tokens, plan.exact_tokens)),
            f"{plan.factor:.1f}", f"{whole.factor:.1f} ({whole.way}, {whole.steps or 'all'})",
            ", ".join(f"{way} {factor:.1f}, {m}" for way, m, factor in other),
        ]  # fmt: skip
        shifts = []
        for seed in range(args.runs // 5 if plan.steps else 0):
            for j in range(len(table[0])):
                read = [sampled(row[j], plan, seed)[0] for row in table]
                means = mean_over_traces(read)
                exact = np.mean([np.mean(row[j].local) for row in table])
                if means.drawing_error > 0:
                    shifts.append((means.mean - exact) / means.drawing_error)
        if shifts:
            found += [f"{np.mean(shifts):.2f}", f"{(np.abs(shifts) <= 1.96).mean():.3f}"]
        yield [name, *found] + [""] * (11 - len(found))


def races(args: argparse.Namespace) -> Iterator[list[str]]:
    """Means over seeds; the pilot's prompts are scored exactly and are the first of the race."""
    yield [
        *("set", "lead / deviation", "exact best", "plan (seed 0)", "best named", "wrong"),
        *("remain", "prompts", "exact: tokens of exact", "of exact", "of global", "factor"),
    ]
    yield ["---", "--:", "---", "---", *["--:"] * 8]
    for name, table in tables_of(args):
        values_PT, unusual_PT = of_traces(table)
        teachers = [each.teacher for each in table[0]]
        prompts = [row[0].prompt_id for row in table]
        costs = [
            np.array([[each.costs[way] for each in row] for row in table])
            for way in ("exact", "with_global_pass")
        ]
        first, second = np.argsort(-values_PT.mean(axis=0))[:2]
        d_P = values_PT[:, first] - values_PT[:, second]
        found, plan_0 = np.zeros((max(2, args.runs // 20), 8)), ""
        for seed in range(len(found)):
            known = {"seed": seed, "first": args.first, "error": ERROR, "unusual": unusual_PT}
            race = Race(prompts, teachers, Costs(*costs), phases=2, **known)
            row_of = {prompt: i for i, prompt in enumerate(prompts)}
            order = [row_of[prompt] for prompt in race.order]
            plan = plan_steps([each for i in order[: args.pilot] for each in table[i]])
            pilot = set(race.order[: args.pilot])
            plan_0 = plan_0 or f"{plan.way} {plan.steps or ''}"
            one = _run(race, table, row_of, teachers, plan, pilot, seed)
            exact = Race(prompts, teachers, Costs(*costs), **known)
            only = Plan("exact", None, 0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, ())
            exactly = _run(exact, table, row_of, teachers, only, pilot, seed)
            best_out = teachers[first] in {p.teacher for p in one.placed if p.place == "out"}
            found[seed] = (
                one.settled, best_out, len(one.remaining) or 1, one.prompts,
                exactly.share_of_exact, one.share_of_exact, one.share_of_global, 0,
            )  # fmt: skip
        mean = found.mean(axis=0)
        yield [
            *(name, f"{d_P.mean() / d_P.std():.2f}", teachers[first], plan_0, f"{mean[0]:.2f}"),
            *(f"{mean[1]:.2f}", f"{mean[2]:.1f}", f"{mean[3]:.0f}"),
            *(f"{share:.3f}" for share in mean[4:7]), f"{1 / mean[5]:.1f}",
        ]  # fmt: skip


def _run(
    race: Race, table: list[list[Trace]], row_of: dict[str, int], teachers: list[str],
    plan: Plan, pilot: set[str], seed: int,
) -> Outcome:  # fmt: skip
    """In the second phase four times the steps; what the first has read is not read again."""
    exact = Plan("exact", None, 0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, ())
    column = {teacher: j for j, teacher in enumerate(teachers)}
    while reading := race.next():
        told = {}
        for prompt, teacher in reading.cells:
            trace = table[row_of[prompt]][column[teacher]]
            used = exact if prompt in pilot else plan
            estimate, tokens = sampled(trace, used, seed)
            if reading.phase == 2:
                before = tokens
                estimate, tokens = sampled(trace, used, seed, 4)
                tokens -= before
            told[prompt, teacher] = Read(*estimate, tokens)
        race.tell(told)
    return race.outcome


if __name__ == "__main__":
    raise SystemExit(main())
