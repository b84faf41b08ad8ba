"""A selection block: what it means, and each thing that cannot hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.selection import KEYS, parse_selection
from lnat_plugins.selection.strategies import STRATEGIES
from lnat_plugins.steps import Splitter
from tests.selection.builders import KNOWN, spec_of

WHOLE_BLOCK = {
    "strategy": "best",
    "metric": "local_naturalness",
    "window": "4",
    "windows": ["4"],
    "steps": "sentence",
    "require_correct": False,
    "max_length": None,
    "min_margin": None,
    "drop_duplicates": True,
    "seed": 1234,
}


def test_an_empty_block_has_a_meaning() -> None:
    spec = spec_of()
    assert (spec.strategy.name, spec.metric.name, spec.window) == ("best", "local_naturalness", "4")
    assert spec.settings.windows == ("4",)
    assert str(spec.steps) == "sentence@1"
    assert (spec.require_correct, spec.drop_duplicates, spec.seed) == (False, True, 1234)
    assert (spec.max_length, spec.min_margin, spec.teacher_set) == (None, None, None)
    assert spec.needs_scores
    assert spec.written == WHOLE_BLOCK


def test_every_key_is_read() -> None:
    block = {
        "strategy": "top_k",
        "metric": "mean_nll",
        "window": 1,
        "windows": [1, "10%", "global"],
        "steps": "tokens:8",
        "require_correct": True,
        "max_length": 4096,
        "min_margin": 0.5,
        "drop_duplicates": False,
        "seed": 0,
        "columns": {"correct": "verified"},
        "teacher_set": "teachers.yaml",
        "plugins": ["mine"],
    }
    assert set(block) == set(KEYS)
    spec = spec_of(**block, k=3)
    assert (spec.strategy.name, spec.options, spec.metric.name) == ("top_k", {"k": 3}, "mean_nll")
    assert (spec.window, spec.settings.windows) == ("1", ("1", "10%", "global"))
    assert [window.name for window in spec.windows] == ["1", "10%", "global"]
    assert str(spec.steps) == "tokens:8"
    assert (spec.require_correct, spec.max_length, spec.min_margin) == (True, 4096, 0.5)
    assert (spec.drop_duplicates, spec.seed) == (False, 0)
    assert (dict(spec.columns), spec.teacher_set) == ({"correct": "verified"}, "teachers.yaml")
    as_read = {"window": "1", "windows": ["1", "10%", "global"]}
    assert spec.written == {**block, **as_read, "k": 3}


def test_what_is_written_is_the_whole_block_whatever_was_left_out() -> None:
    assert spec_of(**WHOLE_BLOCK, columns={}, plugins=[]).written == WHOLE_BLOCK
    written = spec_of(strategy="balanced", quota={"A": 3}, teacher_set=Path("a.yaml")).written
    assert json.loads(json.dumps(written)) == written
    assert (written["quota"], written["teacher_mix"]) == ({"A": 3}, None)
    assert written["teacher_set"] == "a.yaml"
    assert not {"metric", "window"} & spec_of(strategy="random").written.keys()
    assert spec_of(strategy="random", min_margin=0).written["metric"] == "local_naturalness"


@pytest.mark.parametrize(
    ("block", "window", "scored"),
    [
        ({"windows": None}, "4", ("4",)),
        ({"window": "10%"}, "10%", ("10%",)),
        ({"windows": [0, 1]}, "0", ("0", "1")),  # the first decides
        ({"windows": 1}, "1", ("1",)),
        ({"windows": ["1", "10.0 %"], "window": "10%"}, "10%", ("1", "10%")),
        ({"metric": "global_naturalness"}, "global", ("global",)),
        ({"metric": "global_naturalness", "windows": [4, "global"]}, "global", ("4", "global")),
        ({"metric": "global_naturalness", "window": "global"}, "global", ("global",)),
        ({"metric": "n_words"}, None, ("global",)),
        ({"strategy": "random", "windows": [1]}, "1", ("1",)),
    ],
)
def test_the_window_that_decides_and_those_scored(
    block: dict[str, Any], window: str | None, scored: tuple[str, ...]
) -> None:
    words = replace(KNOWN["n_tokens"], name="n_words", higher_is_better=True)
    spec = parse_selection(block, metrics={**KNOWN, "n_words": words}, strategies=STRATEGIES)
    assert (spec.window, spec.settings.windows) == (window, scored)


@pytest.mark.parametrize(
    ("block", "needed"),
    [
        ({"strategy": "random"}, False),
        ({"strategy": "shortest"}, False),
        ({"strategy": "random", "min_margin": 0}, True),
        ({"strategy": "threshold", "threshold": -1}, True),
    ],
)
def test_scores_are_needed_where_something_reads_them(block: dict[str, Any], needed: bool) -> None:
    assert spec_of(**block).needs_scores is needed


def test_the_steps_of_a_teacher_set_may_stand_where_nothing_is_scored() -> None:
    spec = spec_of(strategy="random", teacher_set="a.yaml", steps="line", windows=[4])
    assert (str(spec.steps), spec.needs_scores) == ("line@1", False)


def test_splitters_of_others_may_be_named() -> None:
    clauses = Splitter("clauses", "2", lambda text: [(0, len(text))])
    spec = parse_selection(
        {"steps": "clauses"}, metrics=KNOWN, strategies=STRATEGIES, splitters={"clauses": clauses}
    )
    assert str(spec.steps) == "clauses@2"


UNKNOWN = [
    ({"strategy": "bets"}, "unknown strategy (found 'bets'). Did you mean 'best'? known: balanced"),
    ({"strategy": ["best"]}, "unknown strategy (found ['best'])"),
    (
        {"metric": "lokal_naturalness"},
        "unknown metric (found 'lokal_naturalness'). Did you mean 'l",
    ),
    ({"metric": {}}, "unknown metric (found {})"),
    (
        {"steps": "sentences"},
        "steps: unknown steps setting (found 'sentences'). Did you mean 'sent",
    ),
    ({"windows": ["globel"]}, "windows: unknown window (found 'globel'). Did you mean 'global'?"),
    ({"windows": 4.5}, "windows: unknown window (found 4.5)"),
    ({"windows": []}, "windows: no window given"),
    ({"windows": [4, "4"]}, "windows: duplicate window"),
    ({"window": "all"}, "window: unknown window (found 'all')"),
    ({"max_lenght": 1}, "unknown key in the selection (found 'max_lenght'). Did you mean 'max_len"),
    ({3: 1}, "unknown key in the selection (found 3)"),
    (
        {"k": 3},
        "`k` does nothing with strategy 'best'. It belongs to top_k: choose that, or remove",
    ),
    (
        {"strategy": "top_k", "k": 3, "teacher_mix": {"A": 1}},
        "`teacher_mix` does nothing with strategy 'top_k'. It belongs to balanced: choose",
    ),
    (
        {"strategy": "top_k"},
        "strategy 'top_k' needs `k`. Write `k:` beside `strategy:`: how many rows are chosen",
    ),
    (
        {"window": 4, "windows": [1, 2]},
        "windows: window '4' decides, but is not among those scored (found ['1', '2'])",
    ),
    (
        {"metric": "global_naturalness", "windows": [4]},
        "windows: window 'global' decides, but is not among those scored (found ['4'])",
    ),
    (
        {"metric": "global_naturalness", "window": 4},
        "window: metric 'global_naturalness' reads the window 'global', whatever `window` says "
        "(found 4). Remove `window`",
    ),
    (
        {"metric": "global_naturalness", "window": 4, "windows": [4, "global"]},
        "window: metric 'global_naturalness' reads the window 'global', whatever",
    ),
    (
        {"metric": "n_tokens", "window": 4},
        "window: metric 'n_tokens' reads no window (found 4)",
    ),
    *(
        (
            {"strategy": strategy, key: value},
            f"`{key}` does nothing with strategy {strategy!r} (found {value!r}). Remove it: this",
        )
        for strategy in ("random", "shortest")
        for key, value in (("metric", "n_tokens"), ("window", 4), ("steps", "line"))
    ),
    (
        {"metric": "n_tokens"},
        "metric 'n_tokens' has no better or worse, so nothing can be chosen by it. Choose one of "
        "local_naturalness, global_naturalness, global_step_naturalness, ",
    ),
    (
        {"metric": "n_tokens", "strategy": "random", "min_margin": 1},
        "metric 'n_tokens' has no better or worse",
    ),
]
VALUES = [
    ({"seed": -1}, "`seed` must be a whole number, 0 or more (found -1)"),
    ({"seed": True}, "`seed` must be a whole number, 0 or more (found True)"),
    ({"seed": 1.0}, "`seed` must be a whole number, 0 or more (found 1.0)"),
    ({"max_length": 0}, "max_length: this must be a whole number, 1 or more (found 0)"),
    ({"max_length": True}, "max_length: this must be a whole number, 1 or more (found True)"),
    ({"require_correct": "yes"}, "require_correct: this must be true or false (found 'yes')"),
    ({"drop_duplicates": 1}, "drop_duplicates: this must be true or false (found 1)"),
    ({"min_margin": -0.1}, "`min_margin` must be a number, 0 or more, in the metric's unit"),
    ({"min_margin": True}, "`min_margin` must be a number, 0 or more, in the metric's unit"),
    ({"min_margin": float("nan")}, "`min_margin` must be a number, 0 or more"),
    ({"min_margin": "0.1"}, "`min_margin` must be a number, 0 or more"),
    ({"columns": ["correct"]}, "columns: this must be a mapping of names to values"),
    ({"columns": {"correct": 1}}, "columns: correct: this must be text (found 1)"),
    ({"steps": 3}, "steps: this must be text (found 3)"),
    ({"teacher_set": " "}, "teacher_set: this must be text (found ' ')"),
]


@pytest.mark.parametrize(("block", "message"), [*UNKNOWN, *VALUES], ids=str)
def test_what_cannot_hold_is_refused(block: dict[Any, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_selection(block, metrics=KNOWN, strategies=STRATEGIES, source="sft.yaml: selection")
    assert str(caught.value).startswith(f"sft.yaml: selection: {message}")


WHOLE = "must be a whole number, 1 or more"
SHARE = "`fraction` must be a share of the rows, above 0 and at most 1"
QUOTA = "`quota` must be a whole number, 1 or more, or a mapping of teachers to whole numbers, 0 or"
MIX = "`teacher_mix` must be a mapping of teachers to shares above 0"


@pytest.mark.parametrize(
    ("strategy", "option", "value", "message"),
    [
        *(("top_k", "k", value, f"`k` {WHOLE}") for value in (0, -1, 2.0, True, "3", None, [3])),
        *(("weighted", "budget", value, f"`budget` {WHOLE}") for value in (0, 1.5, False, None)),
        *(
            ("top_fraction", "fraction", value, SHARE)
            for value in (0, 1.1, -0.1, True, "10%", None)
        ),
        ("top_fraction", "fraction", float("nan"), SHARE),
        *(
            ("threshold", "threshold", value, "`threshold` must be a number, in the metric's unit")
            for value in (True, "-1", None, float("inf"), float("nan"))
        ),
        *(("balanced", "quota", value, QUOTA) for value in (0, True, 1.5, "3", None, [], {})),
        *(("balanced", "quota", value, QUOTA) for value in ({"A": -1}, {"A": True}, {1: 3})),
        *(("balanced", "teacher_mix", value, MIX) for value in (1, "equal", None, [], {})),
        *(("balanced", "teacher_mix", {"A": value}, MIX) for value in (0, -1, True, "1", None)),
        ("balanced", "teacher_mix", {"A": float("inf")}, MIX),
        ("balanced", "teacher_mix", {1: 1}, MIX),
    ],
)
def test_an_option_says_what_it_must_be(
    strategy: str, option: str, value: object, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        spec_of(strategy=strategy, **{option: value})
    assert str(caught.value).startswith(f"sft.yaml: selection: {option}: {message}")
    assert "(found " in str(caught.value)
