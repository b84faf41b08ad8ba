"""What a selection gives, and reading a stored one back."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from lnat_plugins.errors import DataError
from lnat_plugins.selection import Selection, category

BAD = Path(__file__).parents[1] / "data" / "bad_stored_selections.yaml"


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


def test_the_category_of_a_reason_is_the_text_before_the_colon() -> None:
    assert category("longer than max_length: 5000 tokens: so it is") == "longer than max_length"
    assert category("not correct") == "not correct"


def test_what_was_chosen_and_dropped_by_teacher() -> None:
    assert selection().chosen_by_teacher == {"A": 1, "B": 1, "C": 0}
    dropped = selection().dropped
    assert dropped == {
        "longer than max_length": {"A": 1, "C": 1},
        "another response scored better": {"B": 1},
    }
    assert next(iter(dropped)) == "longer than max_length"


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


def test_a_sequence_is_the_training_set() -> None:
    drawn = selection(sequence=(3, 0, 3), weights=(0.5, 2.0))
    assert (drawn.rows, drawn.row_weights) == ((3, 0, 3), (2.0, 0.5, 2.0))
    assert drawn.chosen_by_teacher == {"A": 1, "B": 2, "C": 0}
    figures = drawn.figures()
    assert (figures["lnat/chosen"], figures["lnat/distinct"]) == (3, 2)
    assert figures["lnat/score_chosen"] == pytest.approx((-1.5 - 1.0 - 1.5) / 3)
    assert figures["lnat/share/B"] == pytest.approx(2 / 3)
    plain = selection(weights=(0.5, 2.0))
    assert (plain.rows, plain.row_weights) == ((0, 3), (0.5, 2.0))
    assert "lnat/distinct" not in plain.figures()
    stored = json.loads(json.dumps(drawn.as_dict()))
    assert Selection.from_dict(stored).rows == (3, 0, 3)


def test_without_scores_no_mean_is_logged() -> None:
    figures = selection(scores=(math.nan,) * 5, metric=None).figures()
    assert not any("score" in name for name in figures)


def test_whether_weights_differ() -> None:
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


def test_degenerate_rows_are_stored_and_read_back() -> None:
    counted = {"A": {"loop": 1}, "B": {"answer only": 1, "cut off": 1}}
    stored = json.dumps(selection(degenerate=counted).as_dict(), allow_nan=False)
    assert json.loads(stored)["degenerate"] == counted
    assert Selection.from_dict(json.loads(stored)).degenerate == counted


def test_an_older_selection_does_not_count_them() -> None:
    older = selection().as_dict()
    assert older.pop("degenerate") == {}
    assert older.pop("sequence") == []
    read = Selection.from_dict(older)
    assert read.degenerate == {}
    assert read.as_dict() == selection().as_dict()


def test_other_keys_are_ignored() -> None:
    assert Selection.from_dict({**selection().as_dict(), "task": "sums"}).strategy == "best"


@pytest.mark.parametrize("case", yaml.safe_load(BAD.read_text(encoding="utf-8")), ids=str)
def test_a_bad_stored_selection_is_refused_in_one_line(case: dict[str, Any]) -> None:
    values: Any = case.get("values", selection().as_dict())
    if "changed" in case:
        values |= case["changed"]
    for name in case.get("removed", ()):
        del values[name]
    with pytest.raises(DataError) as caught:
        Selection.from_dict(values, "chosen/selection.json")
    assert str(caught.value) == case["line"]


def test_settings_that_json_lacks_become_text() -> None:
    odd = {"since": date(2025, 1, 2), "where": [Path("a")], "mix": {3: (1, math.inf)}}
    stored = json.dumps(selection(settings=odd).as_dict(), allow_nan=False)
    settings = {"since": "2025-01-02", "where": ["a"], "mix": {"3": [1, "inf"]}}
    assert json.loads(stored)["settings"] == settings
    assert Selection.from_dict(json.loads(stored)).as_dict()["settings"] == settings
