"""The warning of degenerate rows among the chosen: when, with what shares, in what words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lnat_plugins.selection import Selection, degenerate
from lnat_plugins.selection.cards import counts
from lnat_plugins.selection.degenerate import LEAST_ROWS, LEAST_SHARE, with_degenerate
from lnat_plugins.teacher_set import Candidates
from tests.selection.builders import pool_of, row, selection_of

BARE = "The answer is 18."
WORKED = "Three times four is twelve, and six more make eighteen, because 12 + 6 = 18."


def pool(bare: Sequence[bool], teachers: str = "AB") -> Candidates:
    """A row a prompt, of the teachers in turn; bare ones are an answer only."""
    return pool_of(
        *(
            row(f"p{i}", teachers[i % len(teachers)], text=BARE if one else WORKED)
            for i, one in enumerate(bare)
        )
    )


def judged(bare: Sequence[bool], chosen: Sequence[int], **changes: object) -> Selection:
    rows = pool(bare)
    return with_degenerate(selection_of(rows, chosen, **changes), rows)


@pytest.mark.parametrize(
    ("n_bare", "n_chosen", "warned"),
    [(5, 50, True), (4, 4, False), (5, 51, False), (10, 100, True), (9, 100, False)],
)
def test_a_tenth_and_five_rows_are_warned_of(n_bare: int, n_chosen: int, warned: bool) -> None:
    assert (LEAST_SHARE, LEAST_ROWS) == (0.1, 5)
    bare = [True] * n_bare + [False] * (n_chosen - n_bare)
    found = judged(bare, range(n_chosen))
    assert bool(found.warnings) is bool(found.degenerate_eligible) is warned
    assert sum(n for kinds in found.degenerate.values() for n in kinds.values()) == n_bare


def test_what_a_metric_prefers_is_said_with_both_shares_and_the_teachers() -> None:
    found = judged([True] * 8 + [False] * 32, range(10))
    assert found.degenerate_eligible == {"answer only": 0.2}
    assert found.warnings == (
        "8 of 10 chosen rows (80.0%) are degenerate (answer only), most by A (4), B (4), against "
        "20.0% of the rows that could be chosen: local_naturalness prefers such rows. Look at them "
        "before training, then leave A and B out, or set `require_correct`, or choose by another "
        "metric.",
    )
    assert f"\n\nWarning: {found.warnings[0]}\n" in counts(found)


def test_what_chance_explains_is_no_preference() -> None:
    found = judged([True, True, False, False] * 10, range(20), metric=None, strategy="random")
    (warning,) = found.warnings
    assert "50.0% of the rows that could be chosen: no more than chance explains." in warning
    assert "metric" not in warning


def test_as_many_as_chance_may_bring_are_no_preference() -> None:
    """6 or more of 20 at a share of .15 have a probability of .067, 7 or more of .022."""
    (warning,) = judged([True] * 6 + [False] * 34, range(20)).warnings
    assert "6 of 20 chosen rows (30.0%)" in warning and "against 15.0% " in warning
    assert "no more than chance explains" in warning


def test_what_is_set_already_is_not_advised() -> None:
    settings = {"require_correct": True}
    found = judged([True] * 8 + [False] * 32, range(10), settings=settings)
    assert "require_correct" not in found.warnings[0]


def test_rows_that_the_filters_dropped_could_not_be_chosen() -> None:
    rows = pool([True] * 10 + [False] * 10 + [True] * 20)
    lost = dict.fromkeys(range(10, 20), "another response scored better")
    for filtered in ("`correct` is false", "longer than max_length: 9 tokens", "duplicate: of A",
                     "`correct` is not given", "the score is undefined: too long",
                     "below min_margin: the best row leads by 0"):  # fmt: skip
        reasons = lost | dict.fromkeys(range(20, 40), filtered)
        found = with_degenerate(selection_of(rows, range(10), reasons=reasons), rows)
        assert found.eligible == tuple(range(20))
        assert found.degenerate_eligible == {"answer only": 0.5}


def test_of_many_rows_a_sample_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(degenerate, "LOOKED_AT", 200)
    seen = []
    kinds = degenerate.degenerate_kinds
    monkeypatch.setattr(
        degenerate,
        "degenerate_kinds",
        lambda *a, among: seen.append(among) or kinds(*a, among=among),
    )
    bare = [True] * 10 + [False, False, False, True] * 200
    found = judged(bare, range(10))
    assert len(seen) == 210 and seen[-1] == ["answer only"]
    assert found.degenerate_eligible["answer only"] == pytest.approx(210 / 810, abs=0.1)
    assert "against about" in found.warnings[0]
    assert found == judged(bare, range(10))  # the same rows are drawn again
    monkeypatch.setattr(degenerate, "LOOKED_AT", 800)  # which are all
    found = judged(bare, range(10))
    assert found.degenerate_eligible["answer only"] == pytest.approx(210 / 810)
    assert "against about" not in found.warnings[0]


def test_they_are_stored_and_older_files_lack_them() -> None:
    found = judged([True] * 8 + [False] * 32, range(10))
    stored = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert stored["warnings"] == list(found.warnings)
    assert Selection.from_dict(stored).warnings == found.warnings
    assert Selection.from_dict(stored).degenerate_eligible == {"answer only": 0.2}
    del stored["warnings"], stored["degenerate_eligible"]
    older = Selection.from_dict(stored)
    assert (older.warnings, older.degenerate_eligible) == ((), {})
    assert older.degenerate == found.degenerate
    assert replace(older).problem() == ""
