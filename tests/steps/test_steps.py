"""The `steps` setting and supplied steps; what holds for every splitter: tiling, linear time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.steps import (
    RESERVED,
    SPLITTERS,
    Splitter,
    StepSpec,
    parse_steps,
    supplied_spans,
)

from .builders import TEXTS

EVERY = pytest.mark.parametrize("name", list(SPLITTERS))
SHORT, LONG = 1_000, 16_000  # characters
UNITS = [
    "$", "$a", "$a ", "$$", "\\(", "\\[", "\\begin{a}", "\\begin{a", "\\begin{a}\\end{b}",
    "\\end{a}", "```", "```\n", "```a\n", "~~~\n", "`", "` ``", "a` ", "\n", "\r", " ", " \n",
    "  \n a", ".", ". ", "...", " .", "。", "?!", '")', ". ✅", "1. ", "A. ", "J. K. ", "e.g. ",
    "9", "99,", "| ", "|a|\n", "|\n", "(", "<think>\n", "# ", "a\n", "a,\n", "a ", "x\n\n", '\\',
    "*", "a\n|", "think\n", "<think", "</", "<answer>", "</answer>", "<|", "<|a", "<|a|>", "<｜", "<｜a",
    "｜>", "[INST", "◁think", " answer \n", "answer", "思考\n", "---\n", "**Answer**\n", "# \n", "<a>\n",
]  # fmt: skip


def test_names_and_versions() -> None:
    assert [str(splitter) for splitter in SPLITTERS.values()] == [
        "sentence@2",
        "line@1",
        "paragraph@1",
        "turn@1",
    ]
    assert all(SPLITTERS[name].name == name for name in SPLITTERS)


@EVERY
def test_docstring_names_the_limits(name: str) -> None:
    assert "Does not" in (SPLITTERS[name].split.__doc__ or "")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("line", StepSpec("splitter", splitter=SPLITTERS["line"])),
        ("supplied", StepSpec("supplied")),
        (
            "supplied_or_sentence",
            StepSpec("supplied_or_sentence", splitter=SPLITTERS["sentence"]),
        ),
        ("tokens:1", StepSpec("tokens", n=1)),
        ("tokens:256", StepSpec("tokens", n=256)),
    ],
)
def test_parse_steps(setting: str, expected: StepSpec) -> None:
    assert parse_steps(setting) == expected


@pytest.mark.parametrize(
    "setting",
    ["tokens", "tokens:", "tokens:0", "tokens:-1", "tokens:1.5", "tokens: 4", "tokens:٤",
     "tokens:" + "9" * 5000],
)  # fmt: skip
def test_tokens_needs_a_whole_number(setting: str) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        parse_steps(setting)


@pytest.mark.parametrize("setting", ["", "paragraphs", "Sentence", "suplied", "line:3"])
def test_unknown_setting_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match="unknown steps setting"):
        parse_steps(setting)


def test_splitters_of_plugins_do_not_replace_reserved_words() -> None:
    mine = Splitter("mine", "2", lambda text: [(0, len(text))])
    splitters = {"mine": mine, **dict.fromkeys(RESERVED, mine)}
    assert str(parse_steps("mine", splitters=splitters)) == "mine@2"
    found = [str(parse_steps(name, splitters=splitters)) for name in RESERVED[:2]]
    assert found == ["supplied", "supplied|sentence@2"]
    with pytest.raises(ConfigError, match="x.yaml: unknown steps setting .*known: mine, "):
        parse_steps("sentence", "x.yaml", {"mine": mine})


def test_unknown_setting_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="[Dd]id you mean 'supplied'"):
        parse_steps("suplied")


def test_supplied_spans() -> None:
    assert supplied_spans("ab\n c", ["ab\n", " c"]) == [(0, 3), (3, 5)]
    assert supplied_spans("", []) == []


@pytest.mark.parametrize(
    ("text", "steps", "message"),
    [
        (
            "ab c",
            ["ab", "c"],
            "x.jsonl row 3: step 2 of 2 differs .* at character 2, which reads ' c' ",
        ),
        ("ab", ["ab", ""], "x.jsonl row 3: step 2 of 2 is empty"),
        ("ab", ["abc"], "step 1 of 1 differs"),
        ("abc", ["ab"], "the steps end at character 2, the response at 3"),
        ("abc", [], "the steps end at character 0"),
    ],
)
def test_supplied_steps_must_join_to_the_text(text: str, steps: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        supplied_spans(text, steps, where="x.jsonl row 3")


@EVERY
@given(text=TEXTS)
def test_spans_tile_the_text(name: str, text: str) -> None:
    spans = SPLITTERS[name].split(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end for start, end in spans)
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]


@EVERY
@given(text=TEXTS)
def test_a_step_owns_the_white_space_that_follows_it(name: str, text: str) -> None:
    spans = SPLITTERS[name].split(text)
    assert all(not text[start].isspace() for start, _ in spans[1:])
    if len(spans) > 1:
        assert all(text[start:end].strip() for start, end in spans)


@EVERY
@given(text=TEXTS)
def test_cuts_are_deterministic_and_can_be_supplied(name: str, text: str) -> None:
    split = SPLITTERS[name].split
    spans = split(text)
    assert split(text) == spans
    assert supplied_spans(text, [text[start:end] for start, end in spans]) == spans


def is_linear(split: Callable[[str], object], short: str, long: str) -> bool:
    """Whether the time for 16 times the text is nearer to 16 times than to 256 times (quadratic).

    CPU time of this process, the least of several measurements, so that a collection of garbage
    in one of them decides nothing. Under 20 ms counts as linear: on 16,000 characters quadratic
    work takes several times as long.
    """

    def seconds(text: str) -> float:
        start = time.process_time()
        split(text)
        return time.process_time() - start

    limit = max(0.02, 64 * min(seconds(short) for _ in range(5)))
    return any(seconds(long) < limit for _ in range(3))


@EVERY
@pytest.mark.parametrize("unit", UNITS, ids=repr)
def test_repeated_units_take_linear_time(name: str, unit: str) -> None:
    short, long = ("A. " + unit * (size // len(unit)) for size in (SHORT, LONG))
    assert is_linear(SPLITTERS[name].split, short, long)


@EVERY
@pytest.mark.parametrize(
    "make",
    [
        lambda n: "\\begin{a}" * (n // 9) + "\\end{a}" * (n // 9),
        lambda n: "```\n" + "a.\n" * (n // 3) + "```",
        lambda n: "- \\(" + "x\n" * (n // 2),
        lambda n: "|" + " |" * (n // 2) + " x",
        lambda n: "a" + " " * n + "\n" + " " * n + ".",
        lambda n: " ".join("`" * width for width in range(1, int((2 * n) ** 0.5))),
        lambda n: "\n".join("`" * width for width in range(int((2 * n) ** 0.5), 2, -1)),
        lambda n: "a" * n + ". B",
    ],
)
def test_nested_and_uneven_texts_take_linear_time(name: str, make: Callable[[int], str]) -> None:
    assert is_linear(SPLITTERS[name].split, make(SHORT), make(LONG))


@pytest.mark.parametrize(
    "quadratic",
    [
        re.compile(r"a+c").search,  # reads on to the end from every character
        lambda text: sum(1 for start in range(0, len(text), 8) for _ in text[start:]),
    ],
    ids=["in a pattern", "in Python"],
)
def test_quadratic_time_is_found(quadratic: Callable[[str], object]) -> None:
    assert not is_linear(quadratic, "a" * SHORT + "b", "a" * LONG + "b")
