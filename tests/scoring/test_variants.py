"""A sample of the prompts scored in further ways: as a run with these settings scores them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from typing import Any

import pytest

from lnat_plugins.engine.types import ALL
from lnat_plugins.metrics import METRICS
from lnat_plugins.scoring.backend import Sum
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.scorer import Scorer
from lnat_plugins.scoring.variants import score_with_variants, scorers_of_variants
from lnat_plugins.scoring.ways import SAMPLE, narrower_are_cheap, sampled
from lnat_plugins.steps import parse_steps
from lnat_plugins.steps.prefix import parse_prefix
from lnat_plugins.steps.windows import parse_windows
from lnat_plugins.teacher_set import Response
from tests.helpers_students import assert_near
from tests.scoring.builders import LONG, OnlyTotals, scorer_of

PROMPT = [5, 6, 7]
TEXTS = [
    LONG,
    "<think>\nFirst step. Second step.\nThird one: done.\n</think>\n\nSo 3 + 4 = 7.",
    "Seven",
]
RESPONSES = [Response(f"t{i}", text) for i, text in enumerate(TEXTS)]


def scored(scorer: Any) -> list[StepSums]:
    prepared = scorer.prepare(PROMPT, RESPONSES)
    return score_with_variants(scorer, prepared)


@pytest.mark.parametrize("n", [1, 2, 19, 20, 21, 39, 40, 100, 817])
def test_the_sample_is_spread_evenly(n: int) -> None:
    chosen = sorted(sampled(n))
    assert len(chosen) == min(n, SAMPLE)
    assert chosen[0] == 0 and chosen[-1] < n
    gaps = {b - a for a, b in zip(chosen, [*chosen[1:], n], strict=True)}
    assert max(gaps) - min(gaps) <= 1


def test_narrower_windows_cost_little_beside_a_wide_one_of_many_steps() -> None:
    """Of a prefix the steps that are read count, not those of the text."""
    text, spec, windows = " ".join(["So it is."] * 40), parse_steps("sentence"), parse_windows([4])
    assert narrower_are_cheap([text], spec, windows)
    of_prefixes = {
        "8 steps": False, "30 steps": True, "400 steps": True,
        "24 tokens": False, "90 tokens": True, "4000 tokens": True,
    }  # fmt: skip
    for prefix, cheap in of_prefixes.items():
        short = replace(spec, prefix=parse_prefix(prefix))
        assert narrower_are_cheap([text], short, windows) is cheap


def test_no_prompts_no_sample() -> None:
    assert sampled(0) == frozenset()


OTHER = {"skip": "keep", "keep": "skip"}


@pytest.mark.parametrize("markers", ["skip", "keep"])
@pytest.mark.parametrize(
    ("windows", "steps", "variants"),
    [
        (("4", "global"), "sentence", {"steps line": ("4", "line"), "window 10%": ("10%", None)}),
        (("2", "4"), "tokens:3", {"steps line": ("2", "line"), "window 10%": ("10%", None)}),
        (("4",), "line", {"steps sentence": ("4", "sentence"), "window 10%": ("10%", None)}),
        (("20%",), "paragraph", {"steps line": ("20%", "line"), "window 4": ("4", None)}),
        (("global",), "turn", {"steps line": ("global", "line"), "window 10%": ("10%", None)}),
    ],
)  # fmt: skip
def test_a_variant_is_the_score_of_a_run_with_that_setting(
    windows: tuple[str, ...], steps: str, variants: dict[str, tuple[str, str | None]],
    markers: Any, llama: Any, tokenizer: Any,
) -> None:  # fmt: skip
    found = scored(scorer_of(llama, tokenizer, windows, steps, markers=markers))
    if markers == "keep" or steps != "sentence":
        variants = {**variants, f"markers {OTHER[markers]}": (windows[0], None)}
    for name, (window, other) in variants.items():
        setting = OTHER[markers] if name.startswith("markers") else markers
        run = scorer_of(llama, tokenizer, (window,), other or steps, markers=setting)
        for record, expected in zip(found, run.score(PROMPT, RESPONSES), strict=True):
            assert {*record.variants} == {*variants}
            value = METRICS["local_naturalness"].of(expected, window)
            assert_near(record.variants[name], value)
    assert any(
        abs(record.variants[name] - METRICS["local_naturalness"].of(record, windows[0])) > 0.01
        for record in found
        for name in variants
    )


def test_the_record_is_otherwise_the_same(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, tokens=True, statistics=ALL - {"reward"})
    plain = scorer.score(PROMPT, RESPONSES)
    for one, other in zip(plain, scored(scorer), strict=True):
        assert one.variants == {} and other.variants
        a, b = (
            {field.name: getattr(each, field.name) for field in dataclasses.fields(each)}
            for each in (one, other)
        )
        assert {key for key in a if key != "sums" and a[key] != b[key]} <= {
            "variants", "calibration", "totals", "step_statistics", "statistics", "token_values",
            "tag_sums",
        }  # fmt: skip
        for window in a["sums"]:
            assert_near(a["sums"][window], b["sums"][window])
        assert StepSums.from_json(other.to_json()).variants == other.variants


def test_variants_gather_nothing_else(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, ("4", "global"), tokens=True, statistics=ALL)
    for other in scorers_of_variants(scorer).values():
        assert (len(other.windows), other.statistics, other.tokens) == (1, frozenset(), False)
        assert other.backend is scorer.backend and other.max_length == scorer.max_length


def test_a_variant_that_does_not_fit_is_undefined_with_a_reason(llama: Any, tokenizer: Any) -> None:
    """A line of several sentences is a longer step; a share of few steps is a narrower window."""
    long, *_, short = scored(scorer_of(llama, tokenizer, ("1",), max_length=60))
    assert math.isfinite(long.totals["1"])
    assert math.isnan(long.variants["steps line"])
    assert "the student reads at most 60" in long.undefined["steps line"]
    assert math.isfinite(long.variants["window 10%"]) and "window 10%" not in long.undefined
    assert not short.undefined
    back = StepSums.from_json(long.to_json())
    assert math.isnan(back.variants["steps line"])
    assert back.undefined == long.undefined


@pytest.mark.parametrize("breaks", ["steps", "calibration", "nothing"])
def test_a_reading_that_failed_in_one_of_the_ways_may_pass(
    breaks: str, llama: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Scorer.score_prepared

    def score(self: Scorer, prepared: Any) -> Any:
        found = original(self, prepared)
        broken = {"steps": str(self.spec)[:4] == "line", "calibration": "brier" in self.statistics}
        return [replace(one, may_pass=broken.get(breaks, False)) for one in found]

    monkeypatch.setattr(Scorer, "score_prepared", score)
    found = scored(scorer_of(llama, tokenizer))
    assert {one.may_pass for one in found} == {breaks != "nothing"}


def test_a_response_of_tags_alone_has_undefined_variants(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer)
    prepared = scorer.prepare(PROMPT, [Response("t", "</think>")])
    (record,) = score_with_variants(scorer, prepared)
    for name in ("steps line", "window 10%"):
        assert math.isnan(record.variants[name])
        assert "nothing but tags" in record.undefined[name]


def test_a_back_end_of_sums_has_the_variants_that_it_has_steps_for(tokenizer: Any) -> None:
    (record, *_) = scored(scorer_of(None, tokenizer, ("global",), backend=OnlyTotals(Sum(-9.0))))
    assert record.undefined["steps line"] == "the back end gives no steps"
    assert math.isnan(record.variants["steps line"])
    assert math.isfinite(record.variants["window 10%"])
