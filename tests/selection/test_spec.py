"""A selection block: what it means, and each thing that cannot hold."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from lnat_plugins.errors import ConfigError
from lnat_plugins.metrics import METRICS
from lnat_plugins.selection import (
    KEYS,
    Choice,
    Option,
    SelectionSpec,
    Strategy,
    parse_selection,
)
from lnat_plugins.selection.strategies import STRATEGIES
from lnat_plugins.steps import Splitter
from tests.selection.builders import KNOWN, spec_of

BAD = Path(__file__).parents[1] / "data" / "bad_selections.yaml"
NAMES = ("local_naturalness", "global_naturalness", "rsr", "n_tokens")
WHOLE_BLOCK = {
    "strategy": "best",
    "metric": "local_naturalness",
    "window": "4",
    "windows": ["4"],
    "steps": "sentence",
    "markers": "skip",
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
    assert str(spec.steps) == "sentence@2"
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
        "markers": "keep",
        "prefix": "8 steps",
        "turns": "last",
        "observations": "window",
        "require_correct": True,
        "max_length": 4096,
        "min_margin": 0.5,
        "where": ["disagreement >= 0.3", "score_spread > 1"],
        "drop_duplicates": False,
        "weights": "nce.jsonl",
        "resample": True,
        "order": "hard_to_easy",
        "seed": 0,
        "mix_answers": 0.3,
        "columns": {"correct": "verified"},
        "teacher_set": "teachers.yaml",
        "plugins": ["mine"],
    }
    assert set(block) == set(KEYS)
    spec = spec_of(**block, k=3)
    assert (spec.strategy.name, spec.options) == ("top_k", {"k": 3})
    assert spec.metric.name == "mean_nll"
    assert (spec.weights, spec.resample, spec.order) == ("nce.jsonl", True, "hard_to_easy")
    assert spec.weighs and not spec_of().weighs
    assert (spec.window, spec.settings.windows) == ("1", ("1", "10%", "global"))
    assert [window.name for window in spec.windows] == ["1", "10%", "global"]
    assert str(spec.steps) == "tokens:8"
    assert spec.steps.markers == spec.settings.markers == "keep"
    assert str(spec.steps.prefix) == spec.settings.prefix == "8 steps"
    assert (spec.require_correct, spec.max_length, spec.min_margin) == (True, 4096, 0.5)
    assert spec.mix_answers == 0.3
    assert (spec.drop_duplicates, spec.seed) == (False, 0)
    assert (dict(spec.columns), spec.teacher_set) == ({"correct": "verified"}, "teachers.yaml")
    as_read = {"window": "1", "windows": ["1", "10%", "global"]}
    of_conversations = {"turns", "observations"}
    written = {name: value for name, value in block.items() if name not in of_conversations}
    assert spec.written == {**written, **as_read, "k": 3}


def test_keys_of_conversations() -> None:
    spec = spec_of(turns="all", observations="none", steps="turn")
    assert (spec.turns, spec.settings.observations) == ("all", "none")
    assert {"turns": "all", "observations": "none"}.items() <= spec.written.items()


def test_a_metric_of_whole_responses_is_refused_beside_a_prefix() -> None:
    metrics = {"masters": METRICS["masters"]}
    block = {"metric": "masters", "prefix": 512}
    with pytest.raises(
        ConfigError, match=r"metric: metric 'masters' needs whole responses \(found"
    ):
        parse_selection(block, metrics=metrics, strategies=STRATEGIES)


def test_what_is_written_is_the_whole_block_defaults_included() -> None:
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
    block = {"steps": "line", "markers": "keep", "windows": [4]}
    spec = spec_of(strategy="random", teacher_set="a.yaml", **block)
    assert (str(spec.steps), spec.needs_scores) == ("line@1", False)


def test_splitters_of_others_may_be_named() -> None:
    clauses = Splitter("clauses", "2", lambda text: [(0, len(text))])
    spec = parse_selection(
        {"steps": "clauses"}, metrics=KNOWN, strategies=STRATEGIES, splitters={"clauses": clauses}
    )
    assert str(spec.steps) == "clauses@2"


@pytest.mark.parametrize("case", yaml.safe_load(BAD.read_text(encoding="utf-8")), ids=str)
def test_a_bad_block_is_refused_in_one_line(case: dict[str, Any]) -> None:
    metrics = {name: METRICS[name] for name in NAMES}
    with pytest.raises(ConfigError) as caught:
        parse_selection(
            case["block"], metrics=metrics, strategies=STRATEGIES, source="sft.yaml: selection"
        )
    assert str(caught.value) == case["line"]


@pytest.mark.parametrize(
    ("block", "where"),
    [
        ({"windows": ["globel"]}, "windows"),
        ({"windows": 4.5}, "windows"),
        ({"windows": []}, "windows"),
        ({"windows": [4, "4"]}, "windows"),
        ({"window": "all"}, "window"),
        ({"window": True}, "window"),
        ({"steps": "sentences"}, "steps"),
        ({"steps": "tokens:0"}, "steps"),
    ],
)
def test_errors_of_windows_and_steps_name_the_key(block: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError, match=f"^sft.yaml: selection: {where}: "):
        spec_of(**block)


def test_an_option_that_cannot_be_parsed_at_all_names_the_strategy_and_its_owner() -> None:
    mine = Strategy(
        "mine", "by hand", lambda candidates: Choice((0,)), "not mine",
        options={"k": Option(int, 1, "a number")}, owner="my_plugin.py",
    )  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        parse_selection({"strategy": "mine", "k": [3]}, metrics=KNOWN, strategies={"mine": mine})
    assert str(caught.value).startswith("my_plugin.py: strategy mine failed: TypeError: int() arg")


def test_a_mapping_of_any_kind_names_columns() -> None:
    columns = MappingProxyType({"correct": "verified", "sample": None})
    assert spec_of(columns=columns).columns == {"correct": "verified", "sample": None}
    assert spec_of(columns=None).columns == {}


def test_a_whole_number_is_a_margin_too() -> None:
    spec = spec_of(min_margin=1)
    assert (spec.min_margin, type(spec.min_margin)) == (1.0, float)


def test_what_is_not_said_is_as_in_an_empty_block() -> None:
    parsed = parse_selection({}, metrics=METRICS, strategies=STRATEGIES)
    needed = {
        one.name: getattr(parsed, one.name)
        for one in fields(parsed)
        if one.default is MISSING and one.default_factory is MISSING
    }
    assert replace(SelectionSpec(**needed), written=parsed.written) == parsed
