"""What a selection tells of itself, and reading a stored one back."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import DataError
from lnat_plugins.selection import Selection, category


def selection(**changes: Any) -> Selection:
    found: dict[str, Any] = {
        "indices": (0, 3),
        "weights": (1.0, 1.0),
        "scores": (-1.0, -2.0, math.nan, -1.5, -4.0),
        "reasons": {
            1: "another response scored better",
            2: "longer than max_length: 5000 tokens",
            4: "longer than max_length: 6000 tokens",
        },
        "teachers": ("A", "B", "A", "B", "C"),
        "prompts": ("p0", "p0", "p1", "p1", "p1"),
        "strategy": "best",
        "metric": "local_naturalness",
        "window": "4",
        "higher_is_better": True,
        "ties": 1,
        "settings": {"strategy": "best", "windows": [4, "10%"]},
        "pool": "0123456789ab",
        "student": "org/student",
    }
    return Selection(**found | changes)


def test_the_category_of_a_reason_is_what_stands_before_the_colon() -> None:
    assert category("longer than max_length: 5000 tokens: so it is") == "longer than max_length"
    assert category("not correct") == "not correct"


def test_what_was_chosen_and_left_out_by_teacher() -> None:
    assert selection().chosen_by_teacher == {"A": 1, "B": 1, "C": 0}
    left_out = selection().left_out
    assert left_out == {
        "longer than max_length": {"A": 1, "C": 1},
        "another response scored better": {"B": 1},
    }
    assert next(iter(left_out)) == "longer than max_length"


def test_figures_for_a_log() -> None:
    assert selection().figures() == {
        "lnat/candidates": 5,
        "lnat/chosen": 2,
        "lnat/prompts": 2,
        "lnat/ties": 1,
        "lnat/score_candidates": pytest.approx((-1 - 2 - 1.5 - 4) / 4),
        "lnat/score_chosen": pytest.approx(-1.25),
        "lnat/share/A": 0.5,
        "lnat/share/B": 0.5,
        "lnat/share/C": 0.0,
    }


def test_without_scores_no_mean_is_logged() -> None:
    figures = selection(scores=(math.nan,) * 5, metric=None).figures()
    assert not any("score" in name for name in figures)


def test_weights_that_differ_are_told() -> None:
    assert not selection().weighted
    assert selection(weights=(0.25, 0.75)).weighted


def test_a_stored_selection_is_read_back() -> None:
    stored = json.dumps(selection(weights=(0.25, 0.75)).as_dict(), allow_nan=False)
    read = Selection.from_dict(json.loads(stored))
    assert read.as_dict() == json.loads(stored)
    assert math.isnan(read.scores[2])
    assert read.reasons[4] == "longer than max_length: 6000 tokens"
    assert (read.indices, read.weights) == ((0, 3), (0.25, 0.75))
    assert read.settings == {"strategy": "best", "windows": [4, "10%"]}


def test_what_stands_beside_the_selection_is_passed_over() -> None:
    assert Selection.from_dict({**selection().as_dict(), "task": "sums"}).strategy == "best"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"teachers": ["A"] * 4}, "5 scores, 4 teachers and 5 prompts"),
        ({"prompts": ["p0"]}, "5 scores, 5 teachers and 1 prompts"),
        ({"indices": [0, 5]}, "an index is not a row of the pool of 5"),
        ({"indices": [-1, 3]}, "an index is not a row of the pool of 5"),
        ({"reasons": {"1": "a", "2": "b", "4": "c", "9": "d"}}, "an index is not a row"),
        ({"indices": [3, 0]}, "the chosen indices are not ascending, each once"),
        ({"indices": [3, 3]}, "the chosen indices are not ascending, each once"),
        ({"weights": [1.0]}, "1 weights for 2 chosen rows"),
        ({"weights": [1.0, -0.1]}, "a weight is negative or not finite"),
        ({"weights": [1.0, math.inf]}, "a weight is negative or not finite"),
        ({"reasons": {"1": "a", "2": "b"}}, "not every row is either chosen or has a reason"),
        ({"reasons": {"0": "a", "1": "b", "2": "c", "4": "d"}}, "not every row is either chosen"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        Selection.from_dict({**selection().as_dict(), **changed}, "chosen/selection.json")
    assert str(caught.value).startswith(f"chosen/selection.json: {complaint}")
    assert caught.value.remedy == "it was cut or edited; delete it to choose again"


@pytest.mark.parametrize(
    "changed",
    [
        {"indices": 3},
        {"indices": [0.0, 3.0]},
        {"indices": ["0", "3"]},
        {"weights": ["much", "little"]},
        {"weights": None},
        {"scores": ["good", 1, 1, 1, 1]},
        {"reasons": ["why"]},
        {"reasons": {"first": "why"}},
        {"teachers": None},
        {"ties": "one"},
        {"settings": 1},
    ],
)
def test_a_part_of_another_kind_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"^x\.json: a part of the stored selection is of the wr"):
        Selection.from_dict({**selection().as_dict(), **changed}, "x.json")


@pytest.mark.parametrize("values", [5, None, [], "selection"])
def test_what_is_no_mapping_is_refused(values: Any) -> None:
    with pytest.raises(DataError, match=r"^x\.json: this is not a stored selection \(found "):
        Selection.from_dict(values, "x.json")


def test_settings_that_json_lacks_become_text() -> None:
    odd = {"since": date(2025, 1, 2), "where": [Path("a")], "mix": {3: (1, math.inf)}}
    stored = json.dumps(selection(settings=odd).as_dict(), allow_nan=False)
    settings = {"since": "2025-01-02", "where": ["a"], "mix": {"3": [1, "inf"]}}
    assert json.loads(stored)["settings"] == settings
    assert Selection.from_dict(json.loads(stored)).as_dict()["settings"] == settings


def test_a_part_that_is_missing_is_named() -> None:
    stored = selection().as_dict()
    del stored["pool"], stored["ties"]
    with pytest.raises(DataError, match=r"not a stored selection: it has no ties, pool\. It was"):
        Selection.from_dict(stored)
