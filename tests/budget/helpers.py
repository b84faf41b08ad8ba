"""Races over tables of made-up scores, noise of mean 0 and variance 1, and unread responses."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from lnat_plugins.budget import Costs, Outcome, Race, Read
from lnat_plugins.budget.contrasts import Bools
from lnat_plugins.budget.sequential import Floats
from lnat_plugins.scoring.record import StepSums


def names(letter: str, number: int) -> list[str]:
    return [f"{letter}{i}" for i in range(number)]


def race_of(values_PT: Floats, **settings: Any) -> Race:
    """Exact scoring costs 10 tokens a response, a global pass 4."""
    ones_PT = np.ones(values_PT.shape)
    prompts, teachers = names("p", len(values_PT)), names("t", values_PT.shape[1])
    return Race(prompts, teachers, Costs(10 * ones_PT, 4 * ones_PT), **settings)


def read(values_PT: Floats, cell: tuple[str, str], variance: float = 0.0, tokens: int = 10) -> Read:
    i, j = int(cell[0][1:]), int(cell[1][1:])
    return Read(float(values_PT[i, j]), variance, tokens)


def finish(race: Race, values_PT: Floats, **read_as: Any) -> Outcome:
    """Tell it everything it wants."""
    while reading := race.next():
        race.tell({cell: read(values_PT, cell, **read_as) for cell in reading.cells})
    return race.outcome


def outcome_of(values_PT: Floats, **settings: Any) -> Outcome:
    return finish(race_of(values_PT, **settings), values_PT)


def noise(generator: np.random.Generator, name: str, shape: tuple[int, ...]) -> Floats:
    """Skewed noise has its long tail below, as log-probabilities have."""
    if name == "exponential":
        return 1 - generator.exponential(size=shape)
    if name == "lognormal 0.5":
        scale = math.sqrt((math.exp(0.25) - 1) * math.exp(0.25))
        return (math.exp(0.125) - generator.lognormal(0, 0.5, size=shape)) / scale
    if name == "t3":
        return generator.standard_t(3, shape) / math.sqrt(3)
    return generator.normal(size=shape)


def modes(generator: np.random.Generator, shape: tuple[int, ...], share: float) -> Floats:
    """Mean 0: a share of the rows lies 6 below the others."""
    rare = generator.random(shape) < share
    return np.asarray(6 * (share - rare) + 0.5 * generator.normal(size=shape))


def rare(values: Floats, share: float) -> Bools:
    return np.asarray(values < 6 * share - 3)


def unread(record: StepSums) -> StepSums:
    """What is known of a response before it is read under window 2."""
    nothing = (math.nan,) * record.n_steps
    return dataclasses.replace(
        record, sums={"2": nothing}, totals={"2": math.nan}, undefined={"2": "not read"},
        part={"steps": [], "whole": False},
    )  # fmt: skip
