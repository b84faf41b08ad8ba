"""The tables of what was taken and left."""

from __future__ import annotations

import math

from lnat_plugins.selection.cards import counts, totals

from .builders import pool_of, selection_of


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]


def test_each_teacher_s_part_and_the_whole() -> None:
    selection = selection_of(pool_of(), (1,), scores=(-1.0, -2.0, math.nan, -4.0))
    first, second = counts(selection).split("\n\n")
    head, _, *rows = cells(first)
    assert head == [
        "Teacher", "Candidates", "Chosen", "Share", "Mean of chosen", "Mean of scored",
    ]  # fmt: skip
    assert rows == [
        ["QwQ", "2", "0", "0.000", "N/A", "-1.0000"],
        ["R1", "2", "1", "1.000", "-2.0000", "-3.0000"],
        ["all", "4", "1", "1.000", "-2.0000", "-2.3333"],
    ]
    head, _, *rows = cells(second)
    assert head == ["Left out", "QwQ", "R1", "all"]
    assert rows == [["another response scored higher", "2", "1", "3"], ["all", "2", "1", "3"]]


def test_reasons_are_counted_by_their_category_most_frequent_first() -> None:
    reasons = {0: "too long: 9 tokens", 2: "a tie", 3: "too long: 7 tokens"}
    _, second = counts(selection_of(pool_of(), (1,), reasons=reasons)).split("\n\n")
    assert cells(second)[2:] == [
        ["too long", "1", "1", "2"],
        ["a tie", "1", "0", "1"],
        ["all", "2", "1", "3"],
    ]


def test_all_chosen_without_a_score() -> None:
    selection = selection_of(pool_of(), (0, 1, 2, 3), metric=None)
    assert cells(counts(selection))[0] == ["Teacher", "Candidates", "Chosen", "Share"]
    assert "Left out" not in counts(selection)


def test_a_teacher_may_be_called_as_the_last_line_is() -> None:
    names = ("all", "R1", "all", "R1")
    first, _ = counts(selection_of(pool_of(), teachers=names)).split("\n\n")
    assert [row[:3] for row in cells(first)[2:]] == [
        ["all", "2", "1"],
        ["R1", "2", "1"],
        ["all", "4", "2"],
    ]


def test_the_totals() -> None:
    selection = selection_of(pool_of(), (1,), ties=2)
    assert totals(selection) == "prompts: 1 of 2, responses: 1 of 4, ties: 2"
