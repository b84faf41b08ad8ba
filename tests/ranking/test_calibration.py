"""Calibration of the student, against plain loops over synthetic logits.

Shapes: T tokens of a response, V tokens of the vocabulary.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from lnat_plugins.engine.types import TEMPERATURES, TEMPERED
from lnat_plugins.ranking.calibration import Calibration, calibration
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.token_values import TokenValues
from lnat_plugins.scoring.variants import BINS, calibration_of
from tests.helpers_samples import make_record
from tests.ranking.builders import Row, rank_rows, table

VOCABULARY = 7
GRID = (1.0, *TEMPERATURES)


class Reply(NamedTuple):
    """One response: logits (T, V), its tokens, the step of each, and which are scored."""

    prompt: str
    teacher: str
    logits: np.ndarray
    tokens: list[int]
    steps: list[int]
    scored: list[bool]


def log_softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    scaled = [logit / temperature for logit in logits]
    highest = max(scaled)
    total = math.log(sum(math.exp(one - highest) for one in scaled)) + highest
    return [one - total for one in scaled]


def replies(seed: int, prompts: int, teachers: str = "AB", length: int = 40) -> list[Reply]:
    """Tokens drawn from the student's own distribution; teachers differ in how sure it is.

    The last token of every step is a tag, which is read and not scored.
    """
    draw = np.random.default_rng(seed)
    found = []
    for p in range(prompts):
        for t, teacher in enumerate(teachers):
            logits = draw.normal(size=(length, VOCABULARY)) * (1.0 + 2.0 * t)
            tokens = [int(draw.choice(VOCABULARY, p=np.exp(log_softmax(row)))) for row in logits]
            n_steps = 2 + (p + t) % 3
            steps = sorted(place % n_steps for place in range(length))
            scored = [i + 1 < length and steps[i] == steps[i + 1] for i in range(length)]
            found.append(Reply(f"p{p}", teacher, logits, tokens, steps, scored))
    return found


def record_of(reply: Reply) -> StepSums:
    """The record with the calibration sums that scoring would have kept."""
    n_steps = reply.steps[-1] + 1
    by_temperature = [
        [log_softmax(row, t)[y] for row, y in zip(reply.logits, reply.tokens, strict=True)]
        for t in GRID
    ]
    probabilities = [[math.exp(one) for one in log_softmax(row)] for row in reply.logits]
    pairs = list(zip(probabilities, reply.tokens, strict=True))
    bounds = [0, *(reply.steps.index(step) for step in range(1, n_steps)), len(reply.tokens)]
    values = TokenValues.of_arrays(
        reply.tokens, range(1, len(reply.tokens) + 1), bounds, reply.scored,
        {"global": by_temperature[0]},
        {
            "top_probability": [max(p) for p, _ in pairs],
            "top_is_right": [float(p[y] == max(p)) for p, y in pairs],
            "brier": [1 - 2 * p[y] + sum(one**2 for one in p) for p, y in pairs],
            **dict(zip(TEMPERED, by_temperature[1:], strict=True)),
        },
    )  # fmt: skip
    counts = [
        sum(kept for kept, at in zip(reply.scored, reply.steps, strict=True) if at == step)
        for step in range(n_steps)
    ]
    sums = [
        math.fsum(
            value
            for value, at, kept in zip(by_temperature[0], reply.steps, reply.scored, strict=True)
            if at == step and kept
        )
        for step in range(n_steps)
    ]
    record = make_record(reply.teacher, {"4": sums, "global": sums}, counts)
    record = replace(record, token_values=values)
    return replace(record, calibration=calibration_of(record), token_values=None)


def rows_of(given: list[Reply]) -> list[Row]:
    return [Row(reply.prompt, reply.teacher, record_of(reply)) for reply in given]


def found_in(rows: list[Row]) -> Calibration:
    prompts = list(dict.fromkeys(row.prompt_id for row in rows))
    found = calibration(rows, list(dict.fromkeys(row.teacher for row in rows)), prompts)
    assert found is not None
    return found


class Token(NamedTuple):
    reply: Reply
    step: int
    logits: list[float]
    token: int


def scored_tokens(given: list[Reply]) -> list[Token]:
    return [
        Token(reply, reply.steps[i], list(reply.logits[i]), reply.tokens[i])
        for reply in given
        for i in range(len(reply.tokens))
        if reply.scored[i]
    ]


def nll(tokens: list[Token], temperature: float = 1.0) -> float:
    return statistics.fmean(-log_softmax(one.logits, temperature)[one.token] for one in tokens)


def bins_apart(tokens: list[Token]) -> float:
    """The expected calibration error by its definition, bin by bin."""
    total = 0.0
    for k in range(BINS):
        inside = []
        for one in tokens:
            p = [math.exp(each) for each in log_softmax(one.logits)]
            if k / BINS < max(p) <= (k + 1) / BINS:
                inside.append((max(p), p[one.token] == max(p)))
        if inside:
            apart = statistics.fmean(p for p, _ in inside) - statistics.fmean(r for _, r in inside)
            total += abs(apart) * len(inside) / len(tokens)
    return total


def step_score(given: list[Reply], teacher: str, temperature: float) -> float:
    """Mean over prompts of the mean over steps of the mean log p."""
    by_prompt = []
    for reply in given:
        if reply.teacher == teacher:
            by_step: dict[int, list[float]] = {}
            for one in scored_tokens([reply]):
                value = log_softmax(one.logits, temperature)[one.token]
                by_step.setdefault(one.step, []).append(value)
            by_prompt.append(statistics.fmean(map(statistics.fmean, by_step.values())))
    return statistics.fmean(by_prompt)


@pytest.mark.parametrize("seed", range(4))
def test_the_loops_agree(seed: int) -> None:
    given = replies(seed, prompts=5, teachers="ABC")
    found = found_in(rows_of(given))
    tokens = scored_tokens(given)
    assert (found.prompts, found.tokens) == (5, len(tokens))
    assert found.error == pytest.approx(bins_apart(tokens), abs=1e-5)
    brier = []
    for one in tokens:
        p = [math.exp(each) for each in log_softmax(one.logits)]
        brier.append(sum((p[v] - (v == one.token)) ** 2 for v in range(VOCABULARY)))
    assert found.brier == pytest.approx(statistics.fmean(brier), abs=1e-5)
    assert found.nll == pytest.approx(nll(tokens), abs=1e-5)
    # Fitted on every second prompt, from the first, and tested on the others.
    fitted = [one for one in tokens if one.reply.prompt in ("p0", "p2", "p4")]
    tested = [one for one in tokens if one.reply.prompt in ("p1", "p3")]
    fine = min(np.linspace(0.5, 2.0, 301), key=lambda t: nll(fitted, t))
    assert found.temperature == pytest.approx(fine, abs=0.03)
    nearest = min(GRID, key=lambda t: abs(math.log(t / found.temperature)))
    assert found.nll_held_out == pytest.approx(nll(tested), abs=1e-5)
    assert found.nll_fitted == pytest.approx(nll(tested, nearest), abs=1e-5)
    for order, temperature in ((found.order, 1.0), (found.order_fitted, nearest)):
        scores = {name: step_score(given, name, temperature) for name in "ABC"}
        assert list(order) == sorted(scores, key=lambda name: -scores[name])


def scaled(given: list[Reply], factor: float) -> list[Reply]:
    return [reply._replace(logits=reply.logits * factor) for reply in given]


def test_a_student_twice_as_sure_has_twice_the_temperature() -> None:
    """And at that temperature it is the student that it was."""
    given = replies(11, prompts=20)
    usual, sure, unsure = (found_in(rows_of(scaled(given, by))) for by in (1.0, 2.0, 0.5))
    assert usual.temperature == pytest.approx(1.0, abs=0.06)
    assert sure.temperature == pytest.approx(2 * usual.temperature, abs=0.12)
    assert unsure.temperature == pytest.approx(0.5 * usual.temperature, abs=0.03)
    assert usual.nll_fitted == usual.nll_held_out  # 1 is the nearest of the grid
    for other in (sure, unsure):
        assert other.nll_held_out > usual.nll_held_out + 0.03
        assert other.nll_fitted == pytest.approx(usual.nll_held_out, abs=1e-5)
        assert other.order_fitted == usual.order
        assert other.error > usual.error


def test_a_calibrated_student_has_a_small_error() -> None:
    """Its tokens were drawn by its own probabilities."""
    assert found_in(rows_of(replies(5, prompts=30))).error < 0.05


def by_hand(teacher: str, prompt: str, means: Callable[[float], float], nll: float = 1.0) -> Row:
    """A response of 10 tokens, with a mean step score for each temperature."""
    record = make_record(teacher, {"4": [-10.0], "global": [-10.0]}, [10])
    sums = {
        "count": [10.0] + [0.0] * (BINS - 1),
        "confidence": [0.5] + [0.0] * (BINS - 1),
        "right": [0.5] + [0.0] * (BINS - 1),
        "brier": [5.0],
        # Lowest at temperature 1.25.
        "nll": [10 * nll + abs(math.log(t / 1.25)) for t in GRID],
        "step_mean": [means(t) for t in GRID],
    }
    return Row(prompt, teacher, replace(record, calibration=sums))


def test_the_order_at_the_fitted_temperature_is_another() -> None:
    rows = [
        by_hand(teacher, f"p{p}", means)
        for p in range(4)
        for teacher, means in (("A", lambda t: -2.0), ("B", lambda t: -3.0 if t < 1.2 else -1.0))
    ]
    found = found_in(rows)
    assert found.temperature == pytest.approx(1.25, rel=0.05)
    assert (found.order, found.order_fitted) == (("A", "B"), ("B", "A"))
    assert found.in_words() == (
        "Calibration of the student on 4 prompts: expected calibration error 0.000, Brier 0.500, "
        f"fitted temperature {found.temperature:.2f} (held-out mean −log p 1.022 → 1.000), which "
        "gives another first teacher, B."
    )
    assert replace(found, order_fitted=("A", "B")).in_words().endswith("gives the same order.")
    both = replace(found, order=("A", "B", "C"), order_fitted=("A", "C", "B"))
    assert both.in_words().endswith("which gives another order.")


def test_orders_rest_on_prompts_that_were_read_for_every_teacher() -> None:
    """Samples of a prompt count together; a prompt without one of the teachers does not."""
    rows = [
        by_hand("A", "p0", lambda t: -1.0), by_hand("A", "p0", lambda t: -5.0),
        by_hand("B", "p0", lambda t: -2.0), by_hand("A", "p1", lambda t: -0.1),
    ]  # fmt: skip
    found = found_in(rows)
    assert (found.order, found.prompts) == (("B", "A"), 2)


def test_there_is_no_order_where_no_prompt_was_read_for_every_teacher() -> None:
    apart = found_in([by_hand("B", "p0", lambda t: -2.0), by_hand("A", "p1", lambda t: -0.1)])
    assert (apart.order, apart.order_fitted, apart.prompts) == ((), (), 2)
    assert apart.temperature == pytest.approx(1.25, rel=0.05)
    assert apart.in_words().endswith("(held-out mean −log p 1.022 → 1.000).")


def test_of_one_teacher_nothing_is_said_of_orders() -> None:
    found = found_in([by_hand("A", f"p{p}", lambda t: -1.0) for p in range(2)])
    assert found.order == found.order_fitted == ("A",)
    assert found.in_words().endswith("(held-out mean −log p 1.022 → 1.000).")


def test_one_prompt_has_nothing_to_test_on() -> None:
    rows = [by_hand(t, "p0", lambda t: -1.0) for t in "AAB"]
    assert calibration(rows, ["A", "B"], ["p0"]) is None
    beside = [Row("p1", t, make_record(t, tokens=[2, 18])) for t in "AB"]
    assert calibration([*rows, *beside], ["A", "B"], ["p0", "p1"]) is None
    assert found_in([*rows, by_hand("A", "p1", lambda t: -1.0)]).prompts == 2


def test_without_a_sample_there_is_no_panel() -> None:
    rows = table({"A": [-1.0, -1.0], "B": [-2.0, -2.0]})
    assert calibration(rows, ["A", "B"], ["p0", "p1"]) is None
    ranking = rank_rows(rows)
    assert ranking.calibration is None
    assert ranking.as_dict()["calibration"] is None
    assert "Calibration" not in ranking.to_markdown()


def test_a_part_of_the_prompts_is_enough() -> None:
    given = rows_of(replies(3, prompts=4))
    bare = [
        Row(f"q{i}", teacher, make_record(teacher, tokens=[2, 18]))
        for i in range(3)
        for teacher in "AB"
    ]
    whole, part = found_in(given), found_in([*bare, *given])
    assert whole == part
    ranking = rank_rows([*bare, *given], bootstrap_iters=10)
    assert ranking.calibration == whole
    written = json.loads(json.dumps(ranking.as_dict(), allow_nan=False))["calibration"]
    assert written["order"] == list(whole.order)
    assert written["temperature"] == whole.temperature
    assert f"\n{whole.in_words()}\n" in ranking.to_markdown()


def test_the_temperatures_rise_from_a_half_to_two_around_one() -> None:
    grid = sorted(GRID)
    assert [one for one in grid if one != 1] == [*TEMPERATURES]
    assert (grid[0], grid[-1]) == (0.5, 2.0)
    assert all(1.05 < right / left < 1.4 for left, right in itertools.pairwise(grid))
