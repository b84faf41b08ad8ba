"""Final answers: where they are read, and which are equal."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lnat_plugins.teacher_set.final_answers import disagreement, final_answer, normal_answer


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("18", "18"), ("18.00", "18"), ("$18", "18"), (r"\$18", "18"), ("**18**", "18"),
        ("18 eggs", "18"), ("18 miles per hour", "18"), (r"18\text{ eggs}", "18"), ("+18", "18"),
        ("$1,200.50", "2401/2"), ("1200.5 dollars", "2401/2"), (r"\frac{2}{4}", "1/2"),
        (r"\dfrac{-1}{2}", "-1/2"), ("0.5", "1/2"), (".5", "1/2"), ("1/2", "1/2"), ("3 / 6", "1/2"),
        ("-3", "-3"), ("−3", "-3"), ("5%", "5"), (r"82^\circ", "82"), ("-10°F", "-10"),
        ("x = 5", "5"), (r"\boxed{18}", "18"), (r"\(18\)", "18"), ("18.", "18"),
        ("2/0", "2/0"), ("1e5", "1e5"), ("3:45 PM", "3:45 pm"), ("( 2 , 3 )", "(2,3)"),
        ("x + 1", "x+1"), ("12 34", "12 34"),
        ("Not  enough information.", "not enough information"),
        ("Yes.", "yes"), ("  ", ""), ("$", ""),
    ],
)  # fmt: skip
def test_normal_form(written: str, normal: str) -> None:
    assert normal_answer(written) == normal


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So \boxed{17}. No: \boxed{18}.", "18"),
        (r"**Answer:** He ordered \(\boxed{2}\) boxes of 12.", "2"),
        (r"It is \boxed{\frac{1}{2}}.", "1/2"),
        ("<answer> Paris </answer>", "paris"),
        ("9 * 2 = 18\n#### 18", "18"),
        ("The answer is 18 because I say so, 3 times.", "3"),
        ("**Answer:** Marie ordered 2 boxes.", "2"),
        ("**Final Answer:** Yes", "yes"),
        ("First 3, then 4.\nThus, the number of books is **20** of 50.", "20"),
        ("Total: 1,300 + 130 = 1,430", "1430"),
        ("It falls to -5.", "-5"),
        ("7 - 5", "5"),
        ("In 3D, or at 5pm, or 2nd, no number stands.", None),
        ("<think>It is 5.</think>It is 6.", "6"),
        ("<think>It is 5, I think", None),
        ("It is 5.</think>\nIt is 6.", "6"),
        ("I do not know.", None),
        ("", None),
    ],
)
def test_read_from_the_text(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("column", "answer"),
    [("7", "7"), (7, "7"), (7.0, "7"), (" ", "18"), (None, "18"), ([7], "18"), ({}, "18")],
)
def test_the_column(column: object, answer: str) -> None:
    assert final_answer("#### 18", {"final_answer": column}) == answer


def test_disagreement() -> None:
    assert disagreement({"a": ["1"], "b": ["1"], "c": ["2"]}) == pytest.approx(2 / 3)
    assert disagreement({"a": ["1", "2", None], "b": ["1"]}) == pytest.approx(1 / 2)
    assert disagreement({"a": ["1"], "b": [None]}) is None
    assert disagreement({"a": ["1", "2"]}) is None


@given(st.text(max_size=400))
@example("\x0c00")
@example("\u20280.50")
@example("3/\x1c1")
@example("5-:\xa0")
def test_any_text(text: str) -> None:
    found = final_answer(text)
    assert found is None or found
    assert normal_answer(normal_answer(text)) == normal_answer(text) or "\\" in text


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_numbers_are_equal_however_they_are_written(top: int, bottom: int) -> None:
    assert normal_answer(f"{top}/{bottom}") == normal_answer(rf"\frac{{{top}}}{{{bottom}}}")
    assert normal_answer(f"{top:,}") == normal_answer(f"${top}.00 dollars") == str(top)


@pytest.mark.parametrize(
    "piece", ["\\boxed{", "**1", "the answer is ", "1,000", "{", "9", "<answer>"]
)
def test_linear_time(piece: str) -> None:
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        begin = time.process_time()
        final_answer(text)
        return time.process_time() - begin

    seconds(1000)
    assert seconds(200_000) < 2


@pytest.mark.parametrize(
    ("name", "share"),
    [("gsm8k_short_cot", 0.95), ("gsm8k_long_cot", 0.995), ("gsm8k_zeroeval", 0.95)],
)
def test_agrees_with_the_publishers_labels(shared: Path, name: str, share: float) -> None:
    with (shared / f"data/{name}.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    right = [
        (final_answer(row["response"]) == normal_answer(str(row["gold"]))) == row["correct"]
        for row in rows
    ]
    assert sum(right) / len(right) > share
