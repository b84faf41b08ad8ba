"""A prefix: its steps have the sums that they have in the whole trace, and no more is read."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lnat_plugins as lnat
from lnat_plugins.engine.types import ALL, CALIBRATION
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.metrics import METRICS
from lnat_plugins.scoring.record import ScoredResponse, StepSums
from lnat_plugins.scoring.scorer import Scorer
from lnat_plugins.scoring.variants import calls_with_variants, score_with_variants
from lnat_plugins.steps import parse_steps
from lnat_plugins.steps.prefix import parse_prefix
from lnat_plugins.teacher_set import Candidate, Response
from tests.engine.oracle import step_sums
from tests.harness.lab import rows, write_set
from tests.helpers_samples import make_record
from tests.helpers_students import assert_near, student
from tests.scoring.builders import LONG, encode, scorer_of

QUESTION = "What is 3 + 4?\n\n"
TAGGED = f"<think>\n{LONG}\n</think>\n\nThe answer is 7."
GATHERED = ALL - {*CALIBRATION, "reward"}


def prefixed(scorer: Scorer, prefix: str) -> Scorer:
    return replace(
        scorer, spec=replace(scorer.spec, prefix=parse_prefix(prefix)),
        settings={**scorer.settings, "prefix": str(parse_prefix(prefix))},
    )  # fmt: skip


def scored(scorer: Scorer, tokenizer: Any, *texts: str) -> list[StepSums]:
    responses = [Response(f"t{i}", text) for i, text in enumerate(texts)]
    return scorer.score(tokenizer.encode(QUESTION), responses)


# ---- where it is cut


@pytest.mark.parametrize("text", [LONG, TAGGED])
@pytest.mark.parametrize("steps", ["sentence", "line", "tokens:5"])
@pytest.mark.parametrize("count", [1, 2, 7, 16, 17, 40, 10_000])
def test_whole_steps_within_so_many_tokens(
    tokenizer: Any, text: str, steps: str, count: int
) -> None:
    """By counting step by step; a first step that is longer is cut at the token."""
    whole = encode(tokenizer, text, parse_steps(steps))
    cut = encode(tokenizer, text, parse_steps(steps, prefix=str(count)))
    ends = [end for end in whole.bounds[1:] if end <= count]
    assert len(cut.ids) == (ends[-1] if ends else min(count, len(whole.ids))) <= count
    assert (cut.ids == whole.ids[: len(cut.ids)]).all()
    assert (cut.scored == whole.scored[: len(cut.ids)]).all()
    assert cut.bounds[-1] == len(cut.ids)
    assert cut.n_steps == max(1, len(ends)) == len(cut.bounds) - 1
    assert cut.spans[0][0] == 0 < cut.spans[-1][1] <= len(text)
    if ends:
        assert cut.spans == whole.spans[: len(ends)]
    assert (cut.all_ids == whole.ids).all()
    if len(cut.ids) == len(whole.ids):
        assert cut.whole is None
    else:
        assert cut.whole is not None
        assert (cut.whole.steps, cut.whole.tokens) == (whole.n_steps, whole.scored.sum())


@pytest.mark.parametrize("count", [1, 3, 500])
def test_so_many_steps(tokenizer: Any, count: int) -> None:
    whole = encode(tokenizer, LONG, parse_steps("sentence"))
    cut = encode(tokenizer, LONG, parse_steps("sentence", prefix=f"{count} steps"))
    assert cut.spans == whole.spans[:count]
    assert len(cut.ids) == whole.bounds[min(count, whole.n_steps)]


# ---- what is scored, and what is read


@pytest.mark.parametrize("name", ["llama", "mistral_sliding"])
@pytest.mark.parametrize("prefix", ["3 steps", "30", "4"])
def test_the_sums_are_those_of_the_cut_text_by_the_slow_scorer(
    name: str, prefix: str, tokenizer: Any
) -> None:
    model = student(name)
    scorer = prefixed(scorer_of(model, tokenizer, ("2", "10%", "global")), prefix)
    (record,) = scored(scorer, tokenizer, TAGGED)
    cut = encode(tokenizer, TAGGED, scorer.spec)
    steps = [cut.ids[a:b].tolist() for a, b in zip(cut.bounds, cut.bounds[1:], strict=False)]
    flags = [cut.scored[a:b].tolist() for a, b in zip(cut.bounds, cut.bounds[1:], strict=False)]
    if not any(map(any, flags)):
        assert math.isnan(record.totals["global"])
        return
    for window, sums in record.sums.items():
        expected = step_sums(model, tokenizer.encode(QUESTION), steps, window, flags)
        assert_near(sums, expected)
        assert_near(record.totals[window], math.fsum(expected))


def test_each_step_has_the_sum_that_it_has_in_the_whole(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, ("4", "10%", "global"), statistics=GATHERED)
    (whole,) = scored(scorer, tokenizer, LONG)
    (part,) = scored(prefixed(scorer, "5 steps"), tokenizer, LONG)
    for window, sums in whole.sums.items():
        assert_near(part.sums[window], (sums or ())[:5])
    for name, sums in whole.step_statistics.items():
        assert_near(part.step_statistics[name], sums[:5])
    assert part.ids_digest == whole.ids_digest  # training reads the whole response
    assert part.whole == {
        "steps": whole.n_steps, "tokens": whole.n_tokens, "ids": whole.whole_ids,
    }  # fmt: skip
    assert whole.whole == {}


@pytest.mark.parametrize("score", ["score_prepared", "with variants"])
def test_no_token_after_the_prefix_is_read(llama: Any, tokenizer: Any, score: str) -> None:
    """The same tokens are read, whatever stands after the prefix."""
    variants = score == "with variants"
    run = score_with_variants if variants else Scorer.score_prepared
    scorer = prefixed(scorer_of(llama, tokenizer, statistics=GATHERED, tokens=True), "3 steps")
    cut = encode(tokenizer, LONG, scorer.spec)
    short = LONG[: cut.spans[-1][1]]
    reads = []
    run(scorer, scorer.prepare(tokenizer.encode(QUESTION), [Response("t", LONG)]))
    for text in (short, LONG, LONG * 20):
        ready = scorer.prepare(tokenizer.encode(QUESTION), [Response("t", text)])
        calls = calls_with_variants(scorer, ready) if variants else scorer.calls(ready)
        before = scorer.backend.tokens_read
        with scorer.backend.reading([calls]):
            run(scorer, ready)
        reads.append(scorer.backend.tokens_read - before)
        assert reads[-1] == scorer.backend.to_read(calls).tokens
    assert reads[1] == reads[2]
    if not variants:  # the line that a sentence ends in is longer in the whole
        assert reads[0] == reads[1]


def test_a_whole_that_does_not_fit_has_a_prefix_that_does(llama: Any, tokenizer: Any) -> None:
    scorer = scorer_of(llama, tokenizer, max_length=40)
    (whole,) = scored(scorer, tokenizer, LONG)
    (part,) = scored(prefixed(scorer, "20"), tokenizer, LONG)
    (long,) = scored(prefixed(scorer, "60"), tokenizer, LONG)
    assert math.isnan(whole.totals["global"]) and not math.isnan(part.totals["global"])
    assert "the prompt and the prefix have" in long.undefined["global"]


def test_a_prefix_of_nothing_but_tags_has_no_score(llama: Any, tokenizer: Any) -> None:
    (record,) = scored(prefixed(scorer_of(llama, tokenizer), "1"), tokenizer, TAGGED)
    assert record.undefined["4"].endswith("the prefix holds nothing but tags")
    assert math.isnan(record.totals["4"])
    assert StepSums.from_json(record.to_json()).whole == record.whole


# ---- metrics


def rows_of(records: list[StepSums], texts: list[str]) -> list[ScoredResponse]:
    asked = ({"role": "user", "content": QUESTION},)
    extra = {"reward": 1.0, "answer": "7"}
    return [
        ScoredResponse(
            Candidate(i, "p", asked, Response(record.teacher, text, correct=i == 0, extra=extra)),
            record,
        )
        for i, (record, text) in enumerate(zip(records, texts, strict=True))
    ]


OF_WHOLE = {"car", "masters", "contrast"}
"""Metrics that set what is known of the whole response, or another student's, against its
log-probabilities."""
COUNTED = {
    "n_tokens", "n_steps", "mean_step_tokens", "first_token_ratio", "random", "strategy_count",
    "strategy_density", "disagreement",
}  # fmt: skip


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_of_the_prefix_of_the_whole_or_undefined(
    name: str, llama: Any, tokenizer: Any
) -> None:
    texts = [LONG, TAGGED, f"Wait. {LONG}", f"So. First, {LONG}", f"Done. Yes. {LONG}", LONG + "!"]
    scorer = scorer_of(llama, tokenizer, statistics=ALL - {*CALIBRATION})
    extra = {"reward": 1.0}
    responses = [Response(f"t{i}", text, extra=extra) for i, text in enumerate(texts)]
    prompt = tokenizer.encode(QUESTION)
    whole = scorer.score(prompt, responses)
    part = prefixed(scorer, "6 steps").score(prompt, responses)
    metric = METRICS[name]
    found = metric.rate(rows_of(part, texts), "4")
    of_whole = metric.rate(rows_of(whole, texts), "4")
    if name in OF_WHOLE:
        assert np.isnan(found.values).all()
        why = "it needs the whole response, and only the first 6 steps were scored"
        assert {*found.reasons} == {why}
        assert math.isnan(metric.of(part[0], "4")) if metric.scope == "response" else True
        return
    if name in COUNTED:
        assert found == of_whole
        return
    # the same records, as if the text ended there
    alone = [
        replace(one, whole={}, settings={k: v for k, v in one.settings.items() if k != "prefix"})
        for one in part
    ]
    np.testing.assert_allclose(
        found.values, metric.rate(rows_of(alone, texts), "4").values, equal_nan=True
    )
    if name != "aslec_casl_by_teacher":  # one response a teacher cannot be fitted
        assert np.isfinite(found.values).all()
        assert not np.allclose(found.values, of_whole.values)


def test_many_responses_together_have_the_counts_of_each() -> None:
    cut = replace(
        make_record(), whole={"steps": 9, "tokens": 70, "ids": 75},
        settings={**make_record().settings, "prefix": "2 steps"},
    )  # fmt: skip
    records = [cut, make_record()] * 100
    rows = rows_of(records, ["x" * 20] * 200)
    for name, of_cut, of_whole in (
        ("n_tokens", 70.0, 20.0), ("n_steps", 9.0, 2.0), ("mean_step_tokens", 70 / 9, 10.0),
        ("first_token_ratio", 9 / 70, 0.1),
    ):  # fmt: skip
        assert [*METRICS[name].rate(rows, "4").values[:2]] == [of_cut, of_whole]
        assert METRICS[name].of(cut, "4") == of_cut


# ---- settings and files


def test_a_prefix_decides_the_fingerprint_of_the_settings(tmp_path: Path) -> None:
    def settings(**block: Any) -> Any:
        return lnat.load_teacher_set(write_set(tmp_path, rows(), block=block)).settings

    plain, tokens, words, steps = (
        settings(), settings(prefix=512), settings(prefix="512 tokens"), settings(prefix="8 steps"),
    )  # fmt: skip
    assert tokens == words and tokens.as_dict()["prefix"] == "512 tokens"
    assert "prefix" not in plain.as_dict()
    assert len({one.fingerprint for one in (plain, tokens, steps)}) == 3


@pytest.mark.parametrize("metric", sorted(OF_WHOLE))
def test_a_metric_of_whole_responses_is_refused_before_anything_is_read(
    tmp_path: Path, llama: Any, tokenizer: Any, metric: str
) -> None:
    path = write_set(tmp_path, [{**row, "reward": 1.0} for row in rows()])
    found = lnat.load_teacher_set(path)
    with pytest.raises(ConfigError, match=f"'{metric}' needs whole responses"):
        lnat.score(llama, tokenizer, found, metrics=[metric], prefix="2 steps")
    path = write_set(tmp_path, rows(), block={"metrics": [metric], "prefix": 20})
    with pytest.raises(ConfigError, match=f"'{metric}' needs whole responses"):
        lnat.load_teacher_set(path)


def test_a_record_says_what_there_is_of_the_response(llama: Any, tokenizer: Any) -> None:
    scorer = prefixed(scorer_of(llama, tokenizer, tokens=True), "2 steps")
    (record,) = scored(scorer, tokenizer, TAGGED)
    text = record.to_json()
    back = StepSums.from_json(text)
    assert (back.whole, back.prefix) == (record.whole, "2 steps")
    assert back.whole_tokens > back.n_tokens and back.whole_steps > back.n_steps == 2
    raw = json.loads(text)
    with pytest.raises(DataError, match="'whole' is there without a prefix"):
        StepSums.from_json({**raw, "settings": {"steps": "sentence"}})
    for wrong in ({"steps": 1, "tokens": 90, "ids": 99}, {"steps": 3, "tokens": 0, "ids": 99},
                  {"steps": 3, "tokens": 9, "ids": 3}, {"steps": 3}):  # fmt: skip
        with pytest.raises(DataError, match="'whole' does not hold more than the prefix"):
            StepSums.from_json({**raw, "whole": wrong})
    read = record.n_tokens + sum(record.tag_tokens)  # those of tags are among `ids`
    assert read > record.n_tokens
    # A prefix of tags alone counts them, so that the whole may have fewer tokens that are scored.
    for tokens in (read, 1):
        least = {"steps": 2, "tokens": tokens, "ids": read}
        assert StepSums.from_json({**raw, "whole": least}).whole == least
    with pytest.raises(DataError, match="'whole' does not hold more than the prefix"):
        StepSums.from_json({**raw, "whole": {"steps": 2, "tokens": read - 1, "ids": read - 1}})
