"""Choosing the update of `utility`, from made-up changes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from lnat_plugins.study.spec import Utility
from lnat_plugins.study.utility import (
    Calibration,
    calibrate,
    changes,
    read_calibration,
    settings_of,
)

NAN = math.nan
LONGER = {"A": 3.0, "B": 2.0, "C": 1.0, "D": -1.0}
RIGHT = {"A": 0.4, "B": 0.3, "C": 0.2, "D": -0.1}
ONE_WRONG = {"A": 0.4, "B": 0.2, "C": 0.3, "D": -0.1}
TIED = {"A": 0.4, "B": 0.2, "C": 0.2, "D": 0.0}
OPPOSITE = {"A": -0.4, "B": -0.3, "C": -0.2, "D": 0.1}


def calibrated(
    by_rate: Mapping[float, Mapping[str, float]], longer: Mapping[str, float] = LONGER
) -> Calibration:
    return calibrate(by_rate, longer, Utility())


@pytest.mark.parametrize(
    ("changed", "pairs", "signs"),
    [
        (RIGHT, 1.0, 1.0),
        (ONE_WRONG, 5 / 6, 1.0),
        (TIED, 5.5 / 6, 3.5 / 4),
        (OPPOSITE, 0.0, 0.0),
        (dict.fromkeys("ABCD", 0.1), 0.5, 3 / 4),
        (dict.fromkeys("ABCD", NAN), NAN, NAN),
    ],
)
def test_pairs_and_signs(changed: Mapping[str, float], pairs: float, signs: float) -> None:
    found = calibrated({1e-3: changed})
    assert found.pairs == 6
    assert found.chosen.pairs == pytest.approx(pairs, nan_ok=True)
    assert found.chosen.signs == pytest.approx(signs, nan_ok=True)
    assert found.reached == (pairs >= 0.9)


@pytest.mark.parametrize(
    ("by_rate", "chosen"),
    [
        ({1e-3: ONE_WRONG, 3e-4: TIED, 3e-3: RIGHT}, 3e-3),
        ({3e-3: RIGHT, 1e-3: RIGHT, 3e-4: ONE_WRONG}, 1e-3),  # of two the smallest
        ({1e-3: OPPOSITE, 3e-3: dict.fromkeys("ABCD", NAN)}, 1e-3),  # one left no number
        ({1e-3: dict.fromkeys("ABCD", NAN), 3e-3: OPPOSITE}, 3e-3),
    ],
)
def test_the_rate_with_the_highest_agreement(
    by_rate: Mapping[float, Mapping[str, float]], chosen: float
) -> None:
    found = calibrated(by_rate)
    assert found.chosen.learning_rate == chosen
    assert [one.learning_rate for one in found.rates] == sorted(by_rate)


def test_what_a_verdict_says() -> None:
    assert calibrated({1e-3: ONE_WRONG, 3e-3: RIGHT}).in_words() == (
        "The step of utility is calibrated: at 0.003, the highest of 2 learning rates, 1.00 of 6 "
        "pairs of 4 teachers are in the order after 60 updates, and 1.00 of the changes have its "
        "sign."
    )
    assert calibrated({1e-3: ONE_WRONG}).in_words() == (
        "The step of utility could not be calibrated (0.90 is needed): at 0.001, 0.83 of 6 pairs "
        "of 4 teachers are in the order after 60 updates, and 1.00 of the changes have its sign. "
        "Its figures are those of this step alone."
    )
    last = calibrated({1e-3: OPPOSITE, 3e-3: ONE_WRONG, 1e-2: OPPOSITE}).in_words()
    assert last.endswith("this step alone.")
    for rates, word in (({1e-4: OPPOSITE}, "larger"), ({1e-2: OPPOSITE}, "smaller")):
        found = calibrated({1e-3: ONE_WRONG, **rates}).in_words()
        assert found.endswith(f"tried: {word} `learning_rates` may agree more.")
    alone = calibrated({1e-3: {"A": 1.0}}, {"A": 1.0})
    assert (alone.pairs, alone.reached) == (0, False)
    assert "could not be calibrated: it takes two teachers" in alone.in_words()
    values = alone.as_dict()
    assert (values["reached"], values["chosen"]["pairs"], values["chosen"]["signs"]) == (
        False, None, 1.0,
    )  # fmt: skip


def test_units_become_changes() -> None:
    utility = Utility(learning_rates=(1e-3,))
    before = {"log_probs": {"before": {"p": -2.0, "q": -1.0}}}
    sampled = {
        "A": {"log_probs": {"0.001": {"p": -1.5, "q": -0.7}, "longer": {"p": -1.0, "q": -1.0}}},
        "B": {"log_probs": {"0.001": {"p": -1.9, "q": -1.0}, "longer": {"p": -2.5, "q": -1.0}}},
    }
    found = read_calibration(before, sampled, utility)
    assert found is not None
    assert dict(found.chosen.changes) == pytest.approx({"A": 0.4, "B": 0.05})
    assert dict(found.longer) == pytest.approx({"A": 0.5, "B": -0.25})
    assert (found.chosen.pairs, found.chosen.signs) == (1.0, 0.5)
    assert read_calibration(None, sampled, utility) is None
    assert read_calibration(before, sampled | {"C": None}, utility) is None
    assert changes({"p": -1.0}, {"p": -2.0, "q": -1.0}) == pytest.approx(
        {"p": 1.0, "q": NAN}, nan_ok=True
    )


@pytest.mark.parametrize(
    ("rows", "given", "batch", "accumulated"),
    [(32, None, 8, 4), (5, 2, 2, 3), (4, None, 4, 1), (4, "x", 4, 1)],
)
def test_one_batch_holds_all_rows(rows: int, given: object, batch: int, accumulated: int) -> None:
    sft = {} if given is None else {"per_device_train_batch_size": given}
    settings = settings_of(Utility(rows=rows, updates=2), [3e-4], sft)["0.0003"]
    assert settings["per_device_train_batch_size"] == batch
    assert settings["gradient_accumulation_steps"] == accumulated
    assert (settings["max_steps"], settings["learning_rate"]) == (2, 3e-4)
    assert (settings["lr_scheduler_type"], settings["warmup_steps"]) == ("constant", 0)
