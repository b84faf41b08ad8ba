"""Names, versions, the `steps` setting and supplied steps."""

from __future__ import annotations

import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.steps import (
    RESERVED,
    SPLITTERS,
    Splitter,
    StepSpec,
    get_splitter,
    parse_steps,
    supplied_spans,
)


def test_names_and_versions() -> None:
    assert list(SPLITTERS) == ["sentence", "line", "paragraph", "turn"]
    assert str(get_splitter("sentence")) == "sentence@1"
    assert all(get_splitter(name).name == name for name in SPLITTERS)


def test_every_splitter_says_what_it_does_not_do() -> None:
    for splitter in SPLITTERS.values():
        assert "Does not" in (splitter.split.__doc__ or "")


def test_unknown_splitter_offers_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match="unknown splitter .*'sentences'.*[Dd]id you mean 'sentence'"
    ):
        get_splitter("sentences")


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
def test_tokens_needs_a_count(setting: str) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        parse_steps(setting)


@pytest.mark.parametrize("setting", ["", "paragraphs", "Sentence", "suplied", "line:3"])
def test_unknown_setting(setting: str) -> None:
    with pytest.raises(ConfigError, match="unknown steps setting"):
        parse_steps(setting)


def test_other_splitters_may_be_named_and_the_reserved_words_keep_their_meaning() -> None:
    mine = Splitter("mine", "2", lambda text: [(0, len(text))])
    splitters = {"mine": mine, **dict.fromkeys(RESERVED, mine)}
    assert str(parse_steps("mine", splitters=splitters)) == "mine@2"
    found = [str(parse_steps(name, splitters=splitters)) for name in RESERVED[:2]]
    assert found == ["supplied", "supplied|sentence@1"]
    with pytest.raises(ConfigError, match="x.yaml: unknown steps setting .*known: mine, "):
        parse_steps("sentence", "x.yaml", {"mine": mine})


def test_unknown_setting_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match="[Dd]id you mean 'supplied'"):
        parse_steps("suplied")


def test_supplied_spans() -> None:
    assert supplied_spans("ab\n c", ["ab\n", " c"]) == [(0, 3), (3, 5)]
    assert supplied_spans("", []) == []


@pytest.mark.parametrize(
    ("text", "steps", "message"),
    [
        ("ab c", ["ab", "c"], "x.jsonl row 3: step 2 of 2 differs .* at character 2"),
        ("ab", ["ab", ""], "x.jsonl row 3: step 2 of 2 is empty"),
        ("ab", ["abc"], "step 1 of 1 differs"),
        ("abc", ["ab"], "the steps end at character 2, the response at 3"),
        ("abc", [], "the steps end at character 0"),
    ],
)
def test_supplied_spans_must_tile(text: str, steps: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        supplied_spans(text, steps, where="x.jsonl row 3")
