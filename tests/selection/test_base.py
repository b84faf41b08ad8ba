"""What a strategy may declare, how options are read, and the highest of several values."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.selection import KEYS, Choice, Option, Strategy
from lnat_plugins.selection.base import choose_top, quota, share, teacher_mix, top


def strategy(**fields: Any) -> Strategy:
    declared: dict[str, Any] = {
        "name": "first",
        "description": "the first row",
        "choose": lambda candidates: Choice((0,)),
        "default_reason": "not the first row",
    }
    return Strategy(**declared | fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "the first"}, "`name` must be a name of lower-case letters, digits and unders"),
        ({"name": "First"}, "`name` must be a name of lower-case letters"),
        ({"name": 3}, "`name` must be a name of lower-case letters"),
        ({"description": " "}, "`description` must be one line"),
        ({"choose": 3}, "`choose` must be a function"),
        ({"default_reason": ""}, "`default_reason` must be text: why a row was not chosen"),
        ({"needs": frozenset({"score"})}, "`needs` must be a frozenset"),
        ({"needs": {"scores"}}, "`needs` must be a frozenset"),
        ({"options": ["k"]}, "`options` must be a mapping"),
        ({"options": {"k": 3}}, "`options` must be a mapping of names to `Option`s"),
        ({"options": {"a-b": Option(int, 1, "")}}, "`options` must be named"),
        *(({"options": {key: Option(int, 1, "")}}, f"({key!r} is one)") for key in KEYS),
        ({"options": {"k": Option(3, 1, "")}}, "`options` must be parsed by a function"),  # type: ignore[arg-type]
        ({"source": None}, "`source` must be text"),
        ({"check": "k"}, "`check` must be a function, or None"),
        ({"weighs": 1}, "`weighs` must be True or False"),
    ],
    ids=str,
)
def test_a_field_that_is_wrong_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        strategy(**fields)
    where = f"strategy {fields.get('name', 'first')}: " if fields.get("name") != 3 else "strategy: "
    assert str(caught.value).startswith(f"{where}a strategy's `")
    assert message in str(caught.value)
    assert caught.value.remedy == "fix the strategy's definition"


def test_little_need_be_declared() -> None:
    plain = strategy()
    assert (plain.check, plain.weighs, plain.needs, plain.options) == (None, False, set(), {})
    assert strategy(needs=frozenset({"scores", "tokens"}), options={"k": Option(int, 1, "")})


def test_shares_and_quotas_are_read_exactly() -> None:
    assert share(0.07) == Fraction(7, 100)
    assert share(1) == 1
    assert teacher_mix({"A": 0.1, "B": 3}) == {"A": Fraction(1, 10), "B": Fraction(3)}
    assert quota(3) == 3
    assert quota({"A": 0, "B": 2}) == {"A": 0, "B": 2}


@pytest.mark.parametrize(
    ("values", "count", "chosen", "tied"),
    [
        ([3.0, 1.0, 2.0], 2, (0, 2), ()),
        ([1.0, 2.0, 1.0, 1.0], 2, (0, 1), (2, 3)),
        ([1.0, 1.0], 2, (0, 1), ()),
        ([1.0], 5, (0,), ()),
        ([0.0, 1e-13], 1, (0,), (1,)),  # below 1 the tolerance is absolute
        ([0.0, 1e-11], 1, (1,), ()),
        ([1e6, 1e6 + 1e-7], 1, (0,), (1,)),  # above it relative
        ([1e6, 1e6 + 1e-5], 1, (1,), ()),
    ],
)
def test_the_highest_values_and_those_that_tie_with_the_last(
    values: list[float], count: int, chosen: tuple[int, ...], tied: tuple[int, ...]
) -> None:
    assert top(np.array(values), count) == (chosen, tied)
    choice = choose_top(np.array(values), count)
    assert (choice.positions, choice.ties) == (chosen, int(bool(tied)))
    assert choice.reasons == dict.fromkeys(tied, "an equally good row comes first")
