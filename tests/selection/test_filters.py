"""What each filter takes away, and the reason that it leaves."""

from __future__ import annotations

import numpy as np
import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.selection.select import (
    drop_duplicates,
    drop_incorrect,
    drop_long,
    drop_narrow,
    drop_undefined,
)
from tests.selection.builders import pool_of, row


def test_only_rows_known_to_be_correct_stay() -> None:
    rows = pool_of(row("p0", "A", correct=True), row("p0", "B", correct=False), row("p0", "C")).rows
    reasons: dict[int, str] = {}
    assert drop_incorrect(rows, reasons, "sft.yaml") == [rows[0]]
    assert reasons == {1: "`correct` is false", 2: "`correct` is not given"}


def test_a_pool_that_never_says_what_is_correct_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        drop_incorrect(pool_of(row("p0", "A"), row("p0", "B")).rows, {}, "sft.yaml: selection")
    assert str(caught.value) == (
        "sft.yaml: selection: `require_correct` needs a column that says which rows are correct, "
        "and none does. Name it under `columns: {correct: ...}`, or remove `require_correct`."
    )


def test_all_wrong_is_not_the_same_as_not_said() -> None:
    reasons: dict[int, str] = {}
    rows = pool_of(row("p0", "A", correct=False), row("p0", "B", correct=False)).rows
    assert drop_incorrect(rows, reasons, "") == []
    assert list(reasons) == [0, 1]


def test_of_equal_responses_to_a_prompt_the_first_stays() -> None:
    rows = pool_of(
        row("p0", "A", text="7"),
        row("p0", "B", text="7 "),
        row("p0", "C", text="7"),
        row("p1", "C", text="7"),
        row("p0", "A", text="7", sample=1),
    ).rows
    reasons: dict[int, str] = {}
    assert drop_duplicates(rows, reasons) == [rows[0], rows[1], rows[3]]
    assert reasons == dict.fromkeys((2, 4), "duplicate: A gave the same response before")


def test_a_row_as_long_as_allowed_stays() -> None:
    rows = pool_of(row("p0", "A"), row("p0", "B"), row("p0", "C")).rows
    reasons: dict[int, str] = {}
    assert drop_long(rows, [4096, 5000, 4097], 4096, reasons) == [rows[0]]
    assert reasons == {
        1: "longer than max_length: 5000 tokens",
        2: "longer than max_length: 4097 tokens",
    }


def test_rows_with_a_reason_against_them_go() -> None:
    rows = pool_of(row("p0", "A"), row("p0", "B")).rows
    assert drop_undefined(rows, {0: "the score is undefined: too long"}) == [rows[1]]


@pytest.mark.parametrize(
    ("values", "margin", "kept"),
    [
        ([-1.0, -1.5, -1.6], 0.5, True),
        ([-1.0, -1.5, -1.2], 0.5, False),  # the second best counts, not the second row
        ([-1.2, -1.0], 0.2, True),  # 0.19999999999999996 in floating point
        ([-1.0, -1.0], 0.0, True),
        ([-1.0, -1.0], 1e-9, False),
        ([-1.0], 99.0, True),  # no rival
    ],
)
def test_a_prompt_is_kept_if_its_best_row_leads_by_the_margin(
    values: list[float], margin: float, kept: bool
) -> None:
    rows = pool_of(*(row("p0", teacher) for teacher, _ in zip("ABC", values, strict=False))).rows
    reasons: dict[int, str] = {}
    found = drop_narrow(rows, np.array(values), margin, reasons)
    assert found == (list(rows) if kept else [])
    assert set(reasons) == (set() if kept else set(range(len(values))))


def test_every_row_of_a_narrow_prompt_goes_with_the_lead_as_its_reason() -> None:
    rows = pool_of(row("p0", "A"), row("p1", "A"), row("p0", "B"), row("p1", "B")).rows
    reasons: dict[int, str] = {}
    # Row 2 was taken away before: row 0 has no rival left, whatever stands in the array.
    kept = drop_narrow([rows[0], rows[1], rows[3]], np.array([-1, -1, -1, -1.25]), 0.5, reasons)
    assert kept == [rows[0]]
    assert reasons == dict.fromkeys((1, 3), "below min_margin: the best row leads by 0.25")
