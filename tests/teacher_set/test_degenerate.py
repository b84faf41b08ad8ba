"""Degenerate responses: a table of texts, linear work, counts, and real traces with labels."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import yaml

from lnat_plugins.teacher_set import answers, degenerate, thinking
from lnat_plugins.teacher_set.degenerate import (
    KINDS,
    REASON_COLUMNS,
    STRETCH,
    DegenerateCount,
    count_kinds,
    degenerate_kinds,
    repetition,
)

TABLE = Path(__file__).parents[1] / "data" / "degenerate_texts.yaml"
CASES: list[dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))

PROSE = (
    "She has sixteen eggs every day and eats three of them for breakfast. Four more go into the "
    "muffins that she bakes for her friends. The eggs that are left are sold at the market. "
    "Each of them brings two dollars, and nobody has ever complained about the price. "
    "The market opens early in the morning and closes late. She walks there with a basket.\n\n"
    "Her friends help her with the basket when it rains. They are glad of the muffins.\n\n"
)


def kinds_of(case: dict[str, Any]) -> tuple[str, ...]:
    text = case["text"] * case.get("times", 1)
    return degenerate_kinds(text, case.get("extra"), case.get("prompt", ""))


def test_the_names_of_the_table_are_distinct() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES) >= 60
    assert {kind for case in CASES for kind in case["kinds"]} == set(KINDS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_kinds_of_a_text(case: dict[str, Any]) -> None:
    assert list(kinds_of(case)) == case["kinds"]


@pytest.mark.parametrize(
    "end",
    [
        "The total is therefore the number of eggs,",
        "The total is the sum of nine and of the",
        "Now we look at the price that every one of the eggs brings her at mark",
        "The number of eggs (",
        "This gives 16 - 7 =",
        "It follows from **the number of eg",
        "| eggs | price |\n|---|---|\n| 9 | 2",
    ],
)
def test_long_prose_that_stops_in_the_middle_is_cut_off(end: str) -> None:
    assert degenerate_kinds(PROSE + end) == ("cut off",)
    assert degenerate_kinds(PROSE + end, {"finish_reason": "stop"}) == ()
    assert degenerate_kinds(end) == ()


@pytest.mark.parametrize(
    "end",
    [
        "x = 18",
        "18",
        "Answer: 18 dollars for all of the eggs that are left each day",
        "The answer is 18 dollars",
        "- 18 dollars for all of the eggs that are left over each day",
        "Total: 18 dollars for all of the eggs that are left each day",
        "Therefore she earns 18 dollars for the eggs that are left each day",
        "eggs per day",
        "**She earns 18 dollars.**",
        "**Answer: 18",
        "Let me look that up:",
        "$$9 \\times 2 = 18$$",
        "| eggs | price |\n|---|---|\n| 9 | 2 |",
        "It is worth it!",
        "******",
    ],
)
def test_long_prose_that_ends_otherwise_is_not_cut_off(end: str) -> None:
    assert degenerate_kinds(PROSE + end) == ()


def test_lines_that_never_end_in_a_stop_are_a_style() -> None:
    lines = PROSE.replace(".\n\n", "\n\n") * 2
    end = "She sells all of the eggs that she did not eat"
    assert "cut off" not in degenerate_kinds(lines + end)
    assert "cut off" in degenerate_kinds(PROSE + end)


@pytest.mark.parametrize("column", REASON_COLUMNS)
def test_every_column_of_reasons_is_read(column: str) -> None:
    assert degenerate_kinds(PROSE, {column: "length"}) == ("cut off",)
    assert degenerate_kinds(PROSE, {column: "stop"}) == ()


def test_a_draft_that_is_copied_into_the_answer_is_no_loop() -> None:
    assert degenerate_kinds(f"<think>\n{PROSE}</think>\n{PROSE}") == ()
    assert degenerate_kinds(f"<think>\n{PROSE}{PROSE}</think>\nThat is it.") == ("loop",)


def test_a_loop_at_the_end_need_not_be_half_of_the_text() -> None:
    fresh = " ".join(f"word{number}." for number in range(1000))
    assert degenerate_kinds(fresh + " I check it once more." * 60) == ("loop",)
    assert degenerate_kinds(fresh + " I check it once more." * 12) == ()


def test_counts_by_teacher() -> None:
    rows: list[tuple[str, str, dict[str, Any]]] = [
        ("B", "The answer is 18.", {}),
        ("A", PROSE, {"finish_reason": "length"}),
        ("B", "<think>\n</think>\n18", {}),
        ("B", PROSE, {}),
    ]
    found = count_kinds((name, degenerate_kinds(text, extra)) for name, text, extra in rows)
    none = dict.fromkeys(KINDS, 0)
    assert found == {
        "B": DegenerateCount(3, 2, none | {"answer only": 2, "empty thinking": 1}),
        "A": DegenerateCount(1, 1, none | {"cut off": 1}),
    }
    assert list(found) == ["B", "A"]
    assert [tuple(one.kinds) for one in found.values()] == [KINDS, KINDS]
    assert count_kinds([]) == {}


@pytest.mark.parametrize("seed", range(4))
def test_counts_do_not_depend_on_the_order_of_rows(seed: int) -> None:
    rows = [(f"t{index % 3}", kinds_of(case)) for index, case in enumerate(CASES)]
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert count_kinds(shuffled) == count_kinds(rows)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_line_breaks_of_windows_change_nothing(case: dict[str, Any]) -> None:
    windows = case["text"].replace("\r\n", "\n").replace("\n", "\r\n")
    assert list(kinds_of(case | {"text": windows})) == case["kinds"]


# --- work ---


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of Python the call runs: work counted, not time."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


UNITS = [
    "the ", "等等，让我再想想。", "3", "\\boxed{", "answer is 1. ", "```\nx\n", "<think>",
    "a b c.\r\n", "\0", "* **x\n", "\\begin{a}", "#### 1\n", "x = 1, ", "| 1 | 2 |\n", "<answer>",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_work_grows_with_the_length_of_the_text(unit: str) -> None:
    sizes = [4000, 8000, 16000]
    once, twice, four_times = (
        lines_run(lambda size=size: degenerate_kinds((unit * size)[:size])) for size in sizes
    )
    assert four_times - twice <= 2.2 * (twice - once) + 200


@pytest.mark.parametrize("unit", [*UNITS, " ", "\n", "*", "`", "{", "answer:", "is and "])
def test_a_megabyte_of_anything_comes_to_an_end(unit: str) -> None:
    # A pattern that is quadratic in the text would need hours here.
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    assert set(degenerate_kinds(text, prompt=text)) <= set(KINDS)


# --- repetition ---


def by_loops(text: str) -> int:
    words = text.split()
    stretches = [words[i : i + STRETCH] for i in range(len(words) - STRETCH + 1)]
    marked = {
        i + offset
        for i, stretch in enumerate(stretches)
        if stretch in stretches[:i]
        for offset in range(STRETCH)
    }
    return len(marked)


def numbered(start: int, stop: int) -> str:
    return " ".join(map(str, range(start, stop)))


def test_a_stretch_of_twenty_words_that_recurs() -> None:
    assert repetition(numbered(0, 20) + " and " + numbered(0, 20)) == (20, 41)
    assert repetition(numbered(0, 19) + " and " + numbered(0, 19)) == (0, 39)
    assert repetition(numbered(0, 25) + " and " + numbered(0, 25)) == (25, 51)


def test_white_space_is_no_difference() -> None:
    assert repetition(numbered(0, 20) + "\n\n" + numbered(0, 20).replace(" ", "\t"))[0] == 20


def test_a_loop_of_one_word_overlaps_itself() -> None:
    assert repetition("wait " * 100) == (99, 100)
    assert repetition("wait " * 20) == (0, 20)


@pytest.mark.parametrize("text", ["", "  \n ", "one"])
def test_short_texts_repeat_nothing(text: str) -> None:
    assert repetition(text) == (0, len(text.split()))


@pytest.mark.parametrize("seed", range(8))
def test_the_loops_agree_repetition(seed: int) -> None:
    draw = random.Random(seed)
    phrases = [[draw.choice("abc") for _ in range(draw.randint(5, 30))] for _ in range(3)]
    text = " ".join(word for _ in range(12) for word in draw.choice(phrases))
    assert repetition(text)[0] == by_loops(text)


# --- real traces ---


def traces(shared: Path, name: str) -> list[dict[str, Any]]:
    with (shared / "data" / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_real_replies_that_a_token_cap_stopped(shared: Path) -> None:
    rows = traces(shared, "smallthink")
    capped = [row["done_reason"] == "length" for row in rows]
    by_reason = ["cut off" in degenerate_kinds(row["response"], row) for row in rows]
    assert by_reason == capped
    by_text = ["cut off" in degenerate_kinds(row["response"]) for row in rows]
    assert not any(found and not cap for found, cap in zip(by_text, capped, strict=True))
    assert sum(by_text) >= 0.9 * sum(capped)


def test_real_long_traces_are_not_degenerate(shared: Path) -> None:
    rows = traces(shared, "gsm8k_long_cot")
    found = count_kinds(
        (r["teacher"], degenerate_kinds(r["response"], r, r["prompt"])) for r in rows
    )
    assert {teacher: count.degenerate for teacher, count in found.items()} == {
        "QwQ": 0, "deepseekR1": 0, "s1.1": 0, "DSQ": 0,
    }  # fmt: skip


def test_the_loop_of_107_thousand_characters(shared: Path) -> None:
    rows = traces(shared, "gsm8k_short_cot")
    loops = [row for row in rows if "loop" in degenerate_kinds(row["response"])]
    assert [(row["teacher"], len(row["response"]) > 100_000) for row in loops] == [("phi3", True)]


def test_real_answers_without_working(shared: Path) -> None:
    rows = traces(shared, "farel_logic")
    found = count_kinds((row["teacher"], degenerate_kinds(row["response"], row)) for row in rows)
    tags = [f"<ANSWER>{number}</ANSWER>" for number in range(1, 7)]
    bare = Counter(row["teacher"] for row in rows if row["response"].strip() in tags)
    assert sum(bare.values()) == 80
    for teacher, count in found.items():
        assert bare[teacher] <= count.kinds["answer only"] <= bare[teacher] + 3


def test_what_is_skipped_could_not_match() -> None:
    """The quick looks before the slow scans leave out nothing that these would find."""
    stated = [
        "So \\boxed{18}.", "\\FBOXED{3}", "<ANSWER>18</answer>", "x\n#### 18",
        "The Answer is 18.",
        "the correct option is B", "right choice: C", "Solution: 4", "最终答案是18", "答え: 3",
        "正解は3", "정답은 3", "답: 3", "La réponse est 4.", "La respuesta es 4.",
        "A resposta é 4.",
        "La risposta è 4.", "Die Antwort ist 4.", "Ответ: 4",
    ]  # fmt: skip
    for text in stated:
        assert answers._STATED.search(text), text
        assert answers.stated_answers(text), text
    assert answers.stated_answers("Nothing is said here.") == []

    def slow(units: tuple[str, ...], stretch: int) -> int:
        pieces = [units[i : i + stretch] for i in range(len(units) - stretch + 1)]
        again = {
            j for i, one in enumerate(pieces) if one in pieces[:i] for j in range(i, i + stretch)
        }
        return len(again)

    once = tuple(f"w{i}" for i in range(30))
    texts = [once[:n] + ("stop",) * gap + once[:m] for n in (19, 20, 21, 30) for m in (19, 20, 30)
             for gap in (0, 3)]  # fmt: skip
    texts += [("a",) * n for n in (0, 3, 19, 20, 21, 40)] + [("a", "b") * 11]
    for words in texts:
        assert repetition(" ".join(words)) == (slow(words, 20), len(words))


TAGS = [
    *thinking.TAGS, *thinking.TAGS.values(), "<THINK>", "</Think>", "<|end_of_thinking|>", "\n",
    "<|think_end|>", " ", "x", "\u2028", "</s>", "<|im_end|>", "<eos>", "think\n", "\nanswer\n",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_tags_are_found_though_most_texts_are_not_searched(seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(300):
        text, prompt = ("".join(generator.choices(TAGS, k=generator.randint(0, 6))) for _ in "ab")
        found = thinking.split_thinking(text, prompt)
        tail = degenerate._END_TOKEN.search(text) is not None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(thinking, "_CLOSING", ("",))
            patch.setattr(thinking, "_TAG_ENDS", ("",))
            assert thinking.split_thinking(text, prompt) == found
        assert not tail or text.rstrip().endswith(">")


@pytest.mark.parametrize("most", [1, 4, 20])
def test_words_are_counted_up_to_a_number(most: int) -> None:
    for case in CASES:
        assert answers.n_words(case["text"], most) == min(most, answers.n_words(case["text"]))
