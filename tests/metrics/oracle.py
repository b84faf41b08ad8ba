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

import torch

from tests.helpers_samples import make_record
from tests.metrics.rows import Row

VOCABULARY = 130


@dataclass(frozen=True)
class Token:
    """The student's logits for one position, and the token there.

    `alone` is log p of the token without the prompt, and by another student; `hidden` its
    activation; `special` tokens have a part in SCAS alone: none.
    """

    p: tuple[float, ...]
    gold: int
    alone: float
    hidden: tuple[float, ...]
    special: bool = False

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
    question: tuple[Token, ...]  # the prompt's tokens; nothing precedes the first
    reward: float
    correct: bool = True
    text: str = ""

    @property
    def tokens(self) -> list[Token]:
        return [token for step in self.steps for token in step]


def draw(seed: int, prompts: int = 3, teachers: int = 4) -> list[Response]:
    """Random responses, each teacher's to each prompt."""
    dice = random.Random(seed)

    def vector() -> tuple[float, ...]:
        return tuple(dice.gauss(0.3, 1) for _ in range(5))

    def token() -> Token:
        weights = [math.exp(dice.gauss(0, 2)) for _ in range(VOCABULARY)]
        p = tuple(weight / sum(weights) for weight in weights)
        gold, alone = dice.randrange(VOCABULARY), -dice.expovariate(0.3)
        return Token(p, gold, alone, vector(), special=dice.random() < 0.2)

    def steps() -> tuple[tuple[Token, ...], ...]:
        lengths = [
            dice.randrange(3, 6),
            *(dice.randrange(1, 5) for _ in range(dice.randrange(1, 6))),
        ]
        return tuple(tuple(token() for _ in range(length)) for length in lengths)

    def question() -> tuple[Token, ...]:
        return (token(), replace(token(), special=True), *(replace(token(), special=False),) * 2)

    drawn = [
        Response(f"p{p}", f"T{t}", steps(), question(), dice.gauss(1, 1))
        for p in range(prompts)
        for t in range(teachers)
    ]
    # What the text says is drawn after all else.
    words = "verify", "wait", "suppose", "7", "so", "Alternatively,", "step 1", "1,000"
    return [
        replace(
            one, correct=dice.random() < 0.5,
            text=" ".join(dice.choice(words) for _ in range(6)) + f" {dice.randrange(3)}",
        )
        for one in drawn
    ]  # fmt: skip


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
    own, question = _content(response.tokens), _content(response.question)
    scored = response.tokens[1:]  # without the prompt nothing precedes the first token
    record = replace(
        record,
        step_statistics={
            **{name: by_step(name) for name in ("capped_rank", "entropy", "brier", "brier_top50")},
            "first_token": opening(1),
            "first_two_tokens": opening(2),
        },
        statistics={
            "cosine_self": _mean_cosine(own, own),
            "cosine_prompt": _mean_cosine(own, question),
            "content_nll": fmean(token.nll for token in own),
            "prompt_nll": fmean(token.nll for token in response.question[1:] if not token.special),
            "unprompted": sum(token.alone for token in scored),
            "prompted": sum(-token.nll for token in scored),
            "unprompted_tokens": float(len(scored)),
            "reward": response.reward,
            "other_log_prob": sum(token.alone for token in response.tokens),
        },
    )
    return Row(
        response.prompt_id, response.teacher, record, text=response.text, correct=response.correct
    )


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


def _content(tokens: Sequence[Token]) -> list[Token]:
    return [token for token in tokens if not token.special]


def _mean_cosine(left: Sequence[Token], right: Sequence[Token]) -> float:
    """Over all pairs, by looking at all pairs."""
    return fmean(
        sum(x * y for x, y in zip(a.hidden, b.hidden, strict=True))
        / (math.hypot(*a.hidden) * math.hypot(*b.hidden))
        for a in left
        for b in right
    )


# the scores


def drop(response: Response, skip: int) -> float:
    return fmean(-token.nll for step in response.steps for token in step[skip:])


def casl(responses: Sequence[Response]) -> list[float]:
    """Least squares by the normal equations, exactly."""
    table, means, ratios = [], [], []
    for response in responses:
        first = [-step[0].nll for step in response.steps]
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
    """∂/∂w_k of Σ_j w_j²·B_j / Σ_j w_j·L_j where all weights are 1, by central differences.

    B_j is the mean squared length of the gradient of a token's loss by its logits, so the quotient
    is how fast the weighted loss falls, relative to itself. Nothing of the closed form is used.
    """
    losses = [fmean(token.nll for token in r.tokens) for r in group]
    speeds = [fmean(_squared_gradient(token, top) for token in r.tokens) for r in group]

    def fall(weights: Sequence[float]) -> float:
        return sum(w * w * s for w, s in zip(weights, speeds, strict=True)) / sum(
            w * loss for w, loss in zip(weights, losses, strict=True)
        )

    h = 1e-5
    ones = [1.0] * len(group)
    return [
        (fall([*ones[:k], 1 + h, *ones[k + 1 :]]) - fall([*ones[:k], 1 - h, *ones[k + 1 :]]))
        / (2 * h)
        for k in range(len(group))
    ]


def _squared_gradient(token: Token, top: int) -> float:
    """Of −log softmax(z)[gold] by z, by autograd, with z cut to its `top` largest.

    A gold token that is cut away has probability 0, and its own logit no gradient but −1.
    """
    order = sorted(range(len(token.p)), key=lambda v: -token.p[v])[:top]
    logits = torch.tensor([math.log(token.p[v]) for v in order], dtype=torch.float64)
    logits.requires_grad_()
    if token.gold in order:
        loss = -logits.log_softmax(-1)[order.index(token.gold)]
        (gradient,) = torch.autograd.grad(loss, logits)
        return float((gradient**2).sum())
    (gradient,) = torch.autograd.grad(logits.logsumexp(-1), logits)
    return float((gradient**2).sum()) + 1


def scas(response: Response) -> float:
    own, question = _content(response.tokens), _content(response.question)
    surprise = fmean(token.nll for token in own)
    of_prompt = fmean(token.nll for token in response.question[1:] if not token.special)
    within = surprise**2 * _mean_cosine(own, own)
    between = surprise * of_prompt * _mean_cosine(own, question)
    return 0.5 * within + 0.5 * between


def entropy(response: Response) -> float:
    return fmean(-sum(p * math.log(p) for p in token.p) for token in response.tokens)


def ifd(response: Response) -> float:
    scored = response.tokens[1:]
    return fmean(token.nll for token in scored) / fmean(-token.alone for token in scored)


def car(response: Response) -> float:
    """With β = 3, which is ours."""
    return response.reward / (1 + 3 * fmean(token.nll for token in response.tokens))


def masters(group: Sequence[Response]) -> list[float]:
    """Rewards of a prompt's responses, standardised; d is local naturalness."""
    rewards = [
        (1.0 if r.correct else 0.0) + fmean(fmean(-t.nll for t in step) for step in r.steps)
        for r in group
    ]
    mean = sum(rewards) / len(rewards)
    variance = sum((reward - mean) ** 2 for reward in rewards) / len(rewards)
    return [(reward - mean) / math.sqrt(variance) for reward in rewards]


def disagreement(group: Sequence[Response]) -> list[float]:
    """Pairs that differ, of all pairs; the answer is the last word of the texts drawn here."""
    answers = [r.text.split()[-1] for r in group]
    pairs = [(i, j) for i in range(len(group)) for j in range(i)]
    return [sum(answers[i] != answers[j] for i, j in pairs) / len(pairs)] * len(group)


SHOWN = {"verify": "verification", "wait": "backtracking", "suppose": "assumption",
         "Alternatively,": "another way", "step": "decomposition"}  # fmt: skip


def strategy_count(response: Response) -> float:
    """The kinds of words drawn here that show a strategy."""
    return float(len({SHOWN[word] for word in response.text.split() if word in SHOWN}))
