"""Two students' scores joined on the response: by the definition, and what is no number."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import Scores, load_teacher_set, read_scores, score
from lnat_plugins.engine.types import OTHER_LOG_PROB
from lnat_plugins.errors import ConfigError, DataError, StudentError
from lnat_plugins.metrics import METRICS
from lnat_plugins.metrics.base import ONE_STUDENT
from lnat_plugins.scoring import contrast
from lnat_plugins.scoring.record import ScoredResponse, StepSums
from tests.cli.select_runs import write_run
from tests.harness.lab import write_set
from tests.helpers_samples import record_of
from tests.helpers_students import student, tokenizer
from tests.nce import oracle
from tests.nce.test_run import READ, ROWS

VALUES = {"QwQ": [-2.0, -2.5], "R1": [-1.0, -1.5]}
OTHERS = {"QwQ": [-1.5, -3.5], "R1": [-2.0, -1.5]}


def contrast_of(scores: Scores) -> tuple[list[float], list[str]]:
    found = METRICS["contrast"].rate(scores.rows, "global")
    return list(found.values), list(found.reasons)


def test_it_is_the_definition(tmp_path: Path) -> None:
    given = load_teacher_set(write_set(tmp_path, ROWS))
    models = student(), student(seed=1)
    positive, negative = (score(one, tokenizer(), given) for one in models)
    values, reasons = contrast_of(positive.contrast(negative))
    assert reasons == ["", "", "", reasons[3]] and reasons[3] and math.isnan(values[3])
    for value, row in zip(values, READ, strict=False):
        read = oracle.read(tokenizer(), row["prompt"], row["response"])
        assert value == pytest.approx(oracle.contrast(*models, read), abs=1e-4)
    back, _ = contrast_of(negative.contrast(positive))
    assert back[:3] == [-value for value in values[:3]]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Scores, Scores]:
    write_run(tmp_path / "right", VALUES, student="org/right")
    write_run(tmp_path / "wrong", OTHERS, student="org/wrong")
    return read_scores(tmp_path / "right"), read_scores(tmp_path / "wrong")


def changed(scores: Scores, index: int, **changes: Any) -> Scores:
    """One record changed; `text` and `messages` are of its candidate."""
    rows = list(scores.rows)
    candidate, record = rows[index].candidate, rows[index].record
    if "text" in changes:
        response = dataclasses.replace(candidate.response, text=changes.pop("text"))
        candidate = dataclasses.replace(candidate, response=response)
    if "messages" in changes:
        candidate = dataclasses.replace(candidate, messages=changes.pop("messages"))
    rows[index] = ScoredResponse(candidate, dataclasses.replace(record, **changes))
    return dataclasses.replace(scores, scored=dataclasses.replace(scores.scored, rows=tuple(rows)))


def test_by_hand(pair: tuple[Scores, Scores]) -> None:
    positive, negative = pair
    both = positive.contrast(negative)
    assert contrast_of(both) == ([-0.5, 1.0, 1.0, 0.0], [""] * 4)
    assert both.scored.files == (*positive.scored.files, *negative.scored.files)
    assert both.scored.student == "org/right"
    ranking = both.rank("contrast")
    assert [(one.teacher, one.mean) for one in ranking.teachers] == [("R1", 0.5), ("QwQ", 0.25)]
    chosen = both.select("best", metric="contrast")
    assert chosen.chosen_by_teacher == {"QwQ": 1, "R1": 1}
    assert both.to_pandas()["contrast"].tolist() == [-0.5, 1.0, 1.0, 0.0]
    assert "contrast" not in positive.to_pandas()


def test_one_student_twice_is_0(pair: tuple[Scores, Scores]) -> None:
    positive, _ = pair
    assert contrast_of(positive.contrast(positive)) == ([0.0] * 4, [""] * 4)


def test_joined_twice_the_last_counts(pair: tuple[Scores, Scores]) -> None:
    positive, negative = pair
    assert contrast_of(positive.contrast(negative).contrast(positive))[0] == [0.0] * 4


UNDEFINED = record_of("QwQ", math.nan)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": "QwQ says other"}, contrast.OTHER_TEXT),
        ({"messages": ({"role": "user", "content": "?"},)}, contrast.OTHER_PROMPT),
        ({"tokens": (11,)}, contrast.OTHER_TOKENS),
        ({"ids_digest": "fedcba987654"}, contrast.OTHER_TOKENS),
        (
            {"totals": UNDEFINED.totals, "undefined": UNDEFINED.undefined},
            "the other student: too long",
        ),
        (
            {"totals": {"4": -1.0}, "sums": {"4": (-1.0,)}},
            "the other student: window 'global' was not scored",
        ),
    ],
)
def test_what_was_not_read_alike_has_no_value(
    pair: tuple[Scores, Scores], changes: dict[str, Any], reason: str
) -> None:
    positive = changed(pair[0], 0, ids_digest="0123456789ab")
    negative = changed(pair[1], 0, **{"ids_digest": "0123456789ab", **changes})
    values, reasons = contrast_of(positive.contrast(negative))
    assert math.isnan(values[0]) and reasons == [reason, "", "", ""]
    assert values[1:] == [1.0, 1.0, 0.0]


def test_an_older_record_holds_no_ids(pair: tuple[Scores, Scores]) -> None:
    positive = changed(pair[0], 0, ids_digest="0123456789ab")
    assert contrast_of(positive.contrast(pair[1]))[1] == [""] * 4


def test_without_a_partner(pair: tuple[Scores, Scores]) -> None:
    positive, negative = pair
    fewer = negative.only(["R1"])
    values, reasons = contrast_of(positive.contrast(fewer))
    assert reasons == [contrast.NO_PARTNER, "", contrast.NO_PARTNER, ""]
    assert [math.isnan(one) for one in values] == [True, False, True, False]
    # What the second student alone has scored plays no part.
    assert contrast_of(positive.only(["R1"]).contrast(negative))[0] == [1.0, 0.0]


def test_its_own_total_may_be_missing(pair: tuple[Scores, Scores]) -> None:
    positive = changed(pair[0], 0, totals=UNDEFINED.totals, undefined=UNDEFINED.undefined)
    values, reasons = contrast_of(positive.contrast(pair[1]))
    assert math.isnan(values[0]) and reasons[0] == "too long"


def test_scores_of_one_student_have_no_value(pair: tuple[Scores, Scores]) -> None:
    positive, _ = pair
    assert contrast_of(positive)[1] == [ONE_STUDENT] * 4
    with pytest.raises(DataError) as caught:
        positive.rank("contrast")
    assert f"no response has a value of contrast (found '{ONE_STUDENT} (4)')" in str(caught.value)
    assert "score again" not in str(caught.value)
    compared = positive.compare("all")
    assert compared.left_out["contrast"] == f"{ONE_STUDENT} (4)"


def test_scores_of_two_tasks_are_refused(pair: tuple[Scores, Scores], tmp_path: Path) -> None:
    write_run(tmp_path / "other", OTHERS, task="products")
    with pytest.raises(ConfigError) as caught:
        pair[0].contrast(read_scores(tmp_path / "other"))
    assert str(caught.value) == (
        "two students are compared on one teacher set, and these are scores of two (found 'sums, "
        "products'). Name scores of the same task."
    )


def test_one_student_is_not_scored_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = load_teacher_set(write_set(tmp_path, ROWS))
    with pytest.raises(StudentError) as caught:
        score(student(), tokenizer(), given, metrics=["contrast"])
    assert str(caught.value).startswith(
        "metric 'contrast' compares the scores of two students, and one reads here."
    )
    scores = score(student(), tokenizer(), given, metrics="all")
    assert all(OTHER_LOG_PROB not in row.record.undefined for row in scores.rows)


def test_a_record_with_it_is_a_record(pair: tuple[Scores, Scores]) -> None:
    """It is written and read back like any number of a record."""
    record = pair[0].contrast(pair[1]).rows[0].record
    assert StepSums.from_json(record.to_json()).statistics == {OTHER_LOG_PROB: -15.0}
