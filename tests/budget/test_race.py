"""The race: its error by simulation, that it is determined, and what it counts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lnat_plugins.budget import Costs, Race, Read
from lnat_plugins.budget.sequential import Floats
from lnat_plugins.errors import ConfigError

from .helpers import finish, modes, names, noise, outcome_of, race_of, rare, read


def scores(seed: int, prompts: int, *means: float) -> Floats:
    generator = np.random.default_rng(seed)
    shared = generator.normal(size=(prompts, 1))
    return np.asarray(shared + generator.normal(size=(prompts, len(means))) + np.array(means))


def test_the_best_is_named_when_all_others_are_out() -> None:
    found = outcome_of(scores(0, 200, 0.0, 1.5, -1.0, 0.2))
    assert found.chosen == ("t1",) and found.settled and found.stop == "settled"
    assert {each.teacher for each in found.placed if each.place == "out"} == {"t0", "t2", "t3"}
    assert found.placed[-1].place == "in" and found.placed[-1].teacher == "t1"
    assert all(each.prompts >= 20 for each in found.placed)
    assert found.prompts < 100
    read = f"Read: {found.prompts} of 200 prompts, "
    assert found.sentence.startswith(f"t1 is best (error at most 5%). {read}")


def test_a_near_tie_is_not_settled_and_says_what_remains() -> None:
    found = outcome_of(scores(1, 120, 0.0, 0.02, -3.0))
    assert set(found.remaining) == {"t0", "t1"} and not found.chosen
    assert found.stop == "prompts used up" and found.lead is not None
    assert found.lead.low < 0 < found.lead.mean < found.lead.high
    assert found.sentence.startswith("Not settled (error at most 5%): ") and " ± " in found.sentence


def test_what_is_read_and_what_it_costs() -> None:
    values = scores(2, 60, 0.0, 3.0, 0.0)
    race = race_of(values)
    first = race.next()
    assert first is not None and first.phase == 1 and len(first.cells) == 60
    assert [prompt for prompt, _ in first.cells[::3]] == list(race.order[:20])
    found = finish(race, values)
    assert found.tokens == 10 * sum(each.prompts for each in found.placed)
    assert (found.exact_tokens, found.global_tokens) == (1800, 720)
    assert found.share_of_exact == found.tokens / 1800
    assert found.share_of_global == found.tokens / 720
    assert race.next() is None
    with pytest.raises(ValueError, match="not to be read now"):
        race.tell({("p0", "t0"): Read(0.0, 0.0, 1)})


@pytest.mark.parametrize("goal", ["best", 2, "order"])
def test_the_same_values_in_any_pieces_give_the_same_outcome(goal: str | int) -> None:
    values = scores(3, 150, 0.0, 0.3, 0.5, -0.4)
    values[7, 2] = math.nan
    whole = outcome_of(values, goal=goal, seed=5)
    race, generator = race_of(values, goal=goal, seed=5), np.random.default_rng(0)
    while reading := race.next():
        cells = [reading.cells[i] for i in generator.permutation(len(reading.cells))]
        for start in range(0, len(cells), 7):
            race.tell({cell: read(values, cell) for cell in cells[start : start + 7]})
            if start == 0 and len(cells) > 7:
                missing = race.next()
                assert missing is not None and set(missing.cells) == set(cells[7:])
    assert race.outcome == whole


def test_the_order_of_prompts_depends_on_the_seed_and_not_on_how_they_come() -> None:
    values = scores(4, 50, 0.0, 0.0)
    orders = [race_of(values, seed=seed).order for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    prompts, ones = names("p", 50)[::-1], np.ones((50, 2))
    assert Race(prompts, ["t0", "t1"], Costs(ones, ones), seed=1).order == orders[0]


def test_an_undefined_prompt_leaves_the_comparison_and_is_counted() -> None:
    values = scores(5, 80, 0.0, 0.1)
    values[:10, 0] = math.nan
    found = outcome_of(values)
    assert (found.left_out, found.undefined, found.prompts) == (10, {"t0": 10}, 80)
    assert found.means["t1"] == pytest.approx(values[10:, 1].mean())
    nothing = outcome_of(np.full((30, 2), math.nan))
    assert nothing.remaining == ("t0", "t1") and nothing.left_out == 30 and nothing.lead is None


def test_max_tokens_stops_before_the_reading_that_would_pass_it() -> None:
    values = scores(6, 100, 0.0, 0.0)
    found = outcome_of(values, max_tokens=720)
    assert (found.stop, found.tokens, found.prompts) == ("max_tokens", 700, 35)
    nothing = outcome_of(values, max_tokens=10)
    assert (nothing.tokens, nothing.prompts, nothing.lead) == (0, 0, None)


def test_the_whole_order_and_the_two_best() -> None:
    values = scores(7, 300, 0.0, 2.0, 1.0, -1.0)
    order = outcome_of(values, goal="order")
    assert order.chosen == ("t1", "t2", "t0", "t3") and order.goal == "order"
    two = outcome_of(values, goal=2)
    assert set(two.chosen) == {"t1", "t2"} and two.tokens < order.tokens


def test_a_second_phase_reads_again_what_is_not_settled_if_draws_are_the_noise() -> None:
    generator = np.random.default_rng(8)
    exact = scores(8, 60, 0.0, 0.0) * 0.1 + np.array([0.0, 0.15])
    sampled = exact + generator.normal(size=exact.shape)
    race, phases = race_of(sampled, phases=2), []
    while reading := race.next():
        phases.append(reading.phase)
        values, variance = (sampled, 1.0) if reading.phase == 1 else (exact, 0.0)
        race.tell({cell: read(values, cell, variance) for cell in reading.cells})
    assert race.outcome.chosen == ("t1",) and set(phases) == {1, 2}
    assert race.outcome.placed[-1].phase == 2 and race.outcome.prompts == 60
    exactly = finish(race_of(scores(9, 60, 0.0, 0.0), phases=2), scores(9, 60, 0.0, 0.0))
    assert exactly.stop == "prompts used up" and exactly.tokens == 60 * 2 * 10


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"error": 0.5}, "`error` must be between"),
        ({"first": 5}, "`first` must be 10 or more"),
        ({"every": 0}, "`every` must be 1 or more"),
        ({"phases": 3}, "`phases` must be 1 or 2"),
        ({"goal": "worst"}, "no such goal"),
    ],
)
def test_settings_that_cannot_be(setting: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        race_of(np.zeros((30, 2)), **setting)


def dropped(values_RPT: Floats, **settings: object) -> Floats:
    """(T,) how often each teacher is dropped; all are equally good."""
    runs, _, teachers = values_RPT.shape
    out = np.zeros((runs, teachers))
    for run, values_PT in enumerate(values_RPT):
        found = outcome_of(values_PT, seed=run, **settings)
        out[run] = [f"t{j}" in {one.teacher for one in found.placed if one.place == "out"}
                    for j in range(teachers)]  # fmt: skip
    return np.asarray(out.mean(axis=0))


@pytest.mark.parametrize(
    ("name", "teachers"),
    [("normal", 2), ("normal", 12), ("t3", 4), ("exponential", 2), ("lognormal 0.5", 4)],
)
def test_of_equal_teachers_the_best_is_dropped_no_more_often_than_stated(
    name: str, teachers: int
) -> None:
    runs = 200 if teachers < 12 else 60
    generator = np.random.default_rng((11, teachers))
    values = noise(generator, name, (runs, 100, teachers)) * np.linspace(0.3, 2, teachers)
    values = values + generator.normal(size=(runs, 100, 1))
    assert dropped(values).max() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def test_a_naive_t_test_at_every_prompt_drops_it_in_a_third_of_the_races() -> None:
    values = np.random.default_rng(12).normal(size=(300, 100, 4))
    n = np.arange(10, 101)
    naive = np.zeros(300, dtype=bool)
    for rival in range(1, 4):
        difference = values[:, :, rival] - values[:, :, 0]
        mean = (difference.cumsum(axis=1) / np.arange(1, 101))[:, 9:]
        square = ((difference**2).cumsum(axis=1) / np.arange(1, 101))[:, 9:]
        t = mean * np.sqrt((n - 1) / (square - mean**2))
        naive |= (t >= stats.t.isf(0.05, n - 1)).any(axis=1)
    assert naive.mean() > 0.3
    assert dropped(values[:150]).max() <= 0.05


def test_rare_rows_known_by_their_length_do_not_mislead() -> None:
    """One teacher has a tenth of its rows far below. A sample without them shows a sure lead."""
    generator, runs = np.random.default_rng(13), 150
    values = np.stack(
        [generator.normal(size=(runs, 100)) * 0.5, modes(generator, (runs, 100), 0.1)], axis=2
    )
    unusual = np.stack([np.zeros((runs, 100), dtype=bool), rare(values[:, :, 1], 0.1)], axis=2)
    informed = [
        "t0" in {one.teacher for one in outcome_of(each, unusual=known, first=10).placed[:1]}
        for each, known in zip(values, unusual, strict=True)
    ]
    assert dropped(values, first=10)[0] > 0.12
    assert np.mean(informed) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def test_every_goal_s_statements_hold() -> None:
    """Close teachers: how often anything stated is wrong."""
    wrong = dict.fromkeys(["best", "2", "order"], 0)
    runs = 100
    for run, goal in itertools.product(range(runs), ["best", 2, "order"]):
        found = outcome_of(scores(1000 + run, 100, 0.0, -0.05, -0.1, -0.6), goal=goal, seed=run)
        top = 1 if goal == "best" else 2
        if goal == "order":
            wrong["order"] += found.chosen != tuple(sorted(found.chosen))
        else:
            inside = {one.teacher for one in found.placed if one.place == "in"}
            outside = {one.teacher for one in found.placed if one.place == "out"}
            best = set(names("t", top))
            wrong[str(goal)] += bool(outside & best or inside - best)
    assert all(count / runs <= 0.05 for count in wrong.values()), wrong
