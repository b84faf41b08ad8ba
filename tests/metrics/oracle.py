"""Every score written from its paper's definition, token by token, slow and obvious.

A response is a list of steps, a step a list of tokens. No sum per step is used here; the records
that the metrics read are made by summing these tokens.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import fmean

from tests.helpers_samples import make_record
from tests.metrics.rows import Row

VOCABULARY = 130


@dataclass(frozen=True)
class Token:
    """What the student gives for each word of its vocabulary at one place, and what stands there.

    `alone` is log p of the token without the prompt, `hidden` its activation.
    """

    p: tuple[float, ...]
    gold: int
    alone: float
    hidden: tuple[float, ...]

    @property
    def nll(self) -> float:
        return -math.log(self.p[self.gold])

    @property
    def rank(self) -> int:
        return 1 + sum(other > self.p[self.gold] for other in self.p)


@dataclass(frozen=True)
class Response:
    prompt_id: str
    teacher: str
    steps: tuple[tuple[Token, ...], ...]
    question: tuple[tuple[float, ...], ...]  # the activations of the prompt's tokens
    reward: float

    @property
    def tokens(self) -> list[Token]:
        return [token for step in self.steps for token in step]


def draw(seed: int, prompts: int = 3, teachers: int = 4) -> list[Response]:
    """Random responses, each teacher's to each prompt; some steps hold no token."""
    dice = random.Random(seed)

    def vector() -> tuple[float, ...]:
        return tuple(dice.gauss(0.3, 1) for _ in range(5))

    def token() -> Token:
        weights = [math.exp(dice.gauss(0, 2)) for _ in range(VOCABULARY)]
        p = tuple(weight / sum(weights) for weight in weights)
        return Token(p, dice.randrange(VOCABULARY), -dice.expovariate(0.3), vector())

    def steps() -> tuple[tuple[Token, ...], ...]:
        lengths = [dice.randrange(3, 6), *(dice.randrange(5) for _ in range(dice.randrange(1, 6)))]
        return tuple(tuple(token() for _ in range(length)) for length in lengths)

    return [
        Response(f"p{p}", f"T{t}", steps(), tuple(vector() for _ in range(3)), dice.gauss(1, 1))
        for p in range(prompts)
        for t in range(teachers)
    ]


def row_of(response: Response) -> Row:
    """The response as scoring leaves it behind: sums per step."""

    def by_step(of: str) -> tuple[float, ...]:
        return tuple(math.fsum(_statistic(token, of) for token in step) for step in response.steps)

    def opening(count: int) -> tuple[float, ...]:
        return tuple(math.fsum(-token.nll for token in step[:count]) for step in response.steps)

    sums = [math.fsum(-token.nll for token in step) for step in response.steps]
    record = make_record(
        response.teacher, {"4": sums, "global": sums}, [len(step) for step in response.steps]
    )
    own, asked = _units([t.hidden for t in response.tokens]), _units(response.question)
    own_sum, asked_sum = [[sum(column) for column in zip(*u, strict=True)] for u in (own, asked)]
    heard = response.tokens[1:]  # without the prompt nothing stands before the first token
    record = replace(
        record,
        step_statistics={
            **{name: by_step(name) for name in ("capped_rank", "entropy", "brier", "brier_top50")},
            "first_token": opening(1),
            "first_two_tokens": opening(2),
        },
        statistics={
            "activation_self": sum(x * x for x in own_sum),
            "activation_prompt": sum(x * y for x, y in zip(own_sum, asked_sum, strict=True)),
            "unprompted": sum(token.alone for token in heard),
            "prompted": sum(-token.nll for token in heard),
            "unprompted_tokens": float(len(heard)),
            "reward": response.reward,
        },
    )
    return Row(response.prompt_id, response.teacher, record)


def _statistic(token: Token, name: str) -> float:
    return {
        "capped_rank": lambda: float(min(token.rank, 100)),
        "entropy": lambda: -sum(p * math.log(p) for p in token.p),
        "brier": lambda: _brier(token.p, token.gold),
        "brier_top50": lambda: _brier_of_top(token, 50),
    }[name]()


def _brier(p: Sequence[float], gold: int) -> float:
    """Σ_v (p_v − [v is the token])²."""
    return sum((share - (v == gold)) ** 2 for v, share in enumerate(p))


def _brier_of_top(token: Token, size: int) -> float:
    least = sorted(token.p)[-size]
    kept = [share if share >= least else 0.0 for share in token.p]
    share = [one / sum(kept) for one in kept]
    return 1 - 2 * share[token.gold] + sum(one * one for one in share)


def _units(vectors: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[x / math.hypot(*vector) for x in vector] for vector in vectors]


# the scores


def drop(response: Response, skip: int) -> float:
    return fmean(-token.nll for step in response.steps for token in step[skip:])


def casl(pool: Sequence[Response]) -> list[float]:
    """Least squares by the normal equations, exactly."""
    table, means, ratios = [], [], []
    for response in pool:
        first = [-step[0].nll for step in response.steps if step]
        rest = [-token.nll for step in response.steps for token in step[1:]]
        means.append(fmean(first + rest))
        ratios.append(len(first) / len(first + rest))
        table.append([Fraction(x) for x in (fmean(rest), fmean(first), ratios[-1], 1.0)])
    size = len(table[0])
    left = [[sum(x[i] * x[j] for x in table) for j in range(size)] for i in range(size)]
    right = [
        sum(x[i] * Fraction(m) for x, m in zip(table, means, strict=True)) for i in range(size)
    ]
    slope = float(_solve(left, right)[2])
    return [mean - slope * ratio for mean, ratio in zip(means, ratios, strict=True)]


def _solve(left: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    lines = [[*line, value] for line, value in zip(left, right, strict=True)]
    for i in range(len(lines)):
        lines[i] = [x / lines[i][i] for x in lines[i]]
        for j in range(len(lines)):
            if j != i:
                lines[j] = [x - lines[j][i] * y for x, y in zip(lines[j], lines[i], strict=True)]
    return [line[-1] for line in lines]


def rsr(response: Response) -> float:
    ranks = [min(token.rank, 100) for token in response.tokens]
    return sum(ranks) / sum(token.nll for token in response.tokens)


def rsr_of_teacher(responses: Sequence[Response]) -> float:
    ranks = [fmean(min(token.rank, 100) for token in r.tokens) for r in responses]
    surprise = [fmean(token.nll for token in r.tokens) for r in responses]
    return fmean(ranks) / fmean(surprise)


def lark(group: Sequence[Response], top: int = VOCABULARY) -> list[float]:
    losses = [fmean(token.nll for token in r.tokens) for r in group]
    briers = [fmean(_brier_of_top(token, top) for token in r.tokens) for r in group]
    return [
        2 * b / sum(losses) - loss * sum(briers) / sum(losses) ** 2
        for b, loss in zip(briers, losses, strict=True)
    ]


def scas(response: Response) -> float:
    """The mean cosine over all pairs, by looking at all pairs."""

    def mean_cosine(left: Sequence[Sequence[float]], right: Sequence[Sequence[float]]) -> float:
        return fmean(
            sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))
            for a in left
            for b in right
        )

    own = [token.hidden for token in response.tokens]
    asked = response.question
    within = len(own) ** 2 * mean_cosine(own, own)
    between = len(own) * len(asked) * mean_cosine(own, asked)
    return 0.5 * within + 0.5 * between


def entropy(response: Response) -> float:
    return fmean(-sum(p * math.log(p) for p in token.p) for token in response.tokens)


def ifd(response: Response) -> float:
    heard = response.tokens[1:]
    return fmean(token.nll for token in heard) / fmean(-token.alone for token in heard)


def car(response: Response) -> float:
    return response.reward / (1 + 3 * fmean(token.nll for token in response.tokens))
