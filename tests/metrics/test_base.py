"""A metric: what may be declared, who is looked at together, what it may return, why it is NaN."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from lnat_plugins.errors import ConfigError, DataError, shorten
from lnat_plugins.metrics import Metric, Scored, UndefinedError
from lnat_plugins.metrics.base import SCOPES, log_prob, summed
from lnat_plugins.scoring.record import StepSums
from tests.helpers_samples import make_record
from tests.metrics.rows import Row, record_with

ROWS = [
    Row(prompt, teacher, record_with(teacher=teacher, sample=sample))
    for prompt, teacher, sample in [
        ("p0", "A", 0), ("p1", "A", 0), ("p0", "B", 0), ("p1", "B", 0), ("p0", "A", 1),
    ]
]  # fmt: skip


def metric(compute: Callable[..., Any], scope: Any = "prompt", **fields: Any) -> Metric:
    named: dict[str, Any] = {
        "name": "mine", "higher_is_better": True, "unit": "none", "source": "a test",
        "aggregate": "mean", "reads": "global", **fields,
    }  # fmt: skip
    return Metric(scope=scope, compute=compute, **named)


def positions(rows: Sequence[Scored], window: str) -> list[float]:
    """The position of each row among those given."""
    return [float(position) for position in range(len(rows))]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("prompt", (0, 0, 1, 1, 2)),
        ("corpus", (0, 1, 2, 3, 4)),
    ],
)
def test_a_scope_says_who_is_looked_at_together(scope: str, expected: tuple[float, ...]) -> None:
    ratings = metric(positions, scope).rate(ROWS, "4")
    assert ratings.values == expected
    assert ratings.reasons == ("",) * len(ROWS)


def test_scope_response_gets_one_record_and_the_window() -> None:
    seen: list[tuple[object, str]] = []
    each = metric(lambda record, window: seen.append((record, window)) or 1, "response")
    assert each.rate(ROWS, "4").values == (1.0,) * len(ROWS)
    assert seen == [(row.record, "4") for row in ROWS]


def test_groups_come_by_first_appearance() -> None:
    seen: list[list[str]] = []

    def note(rows: Sequence[Scored], window: str) -> list[float]:
        seen.append([row.teacher for row in rows])
        return [0.0] * len(rows)

    metric(note).rate([ROWS[i] for i in (3, 0, 1, 2)], "4")
    assert seen == [["B", "A"], ["A", "B"]]  # p1, then p0


@pytest.mark.parametrize("scope", SCOPES)
def test_of_no_rows_there_are_no_values(scope: str) -> None:
    assert metric(positions, scope).rate([], "4") == ((), ())


# what may be declared


def pair(record: StepSums, window: str) -> tuple[float, float]:
    return 1.0, 2.0


RATIO: dict[str, Any] = {"aggregate": "ratio_of_means", "parts": pair}
BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"name": ""},
        "a metric's `name` must be a name of lower-case letters, digits and underscores",
    ),
    ({"name": "Mine"}, "metric Mine: a metric's `name` must be a name of lower-case letters"),
    ({"name": ["mine"]}, "a metric's `name` must be a name of lower-case letters"),
    ({"name": None}, "a metric's `name` must be a name of lower-case letters"),
    ({"name": "all"}, "metric all: a metric's `name` must be other than 'all', which stands"),
    ({"higher_is_better": 1}, "`higher_is_better` must be True, False or None (found 1)"),
    ({"higher_is_better": "up"}, "`higher_is_better` must be True, False or None"),
    ({"scope": "token"}, '`scope` must be one of "response", "prompt", "corpus" (found \'token\')'),
    ({"scope": {}}, "`scope` must be one of"),
    ({"unit": ""}, "`unit` must be text such as \"nats per token\" (found '')"),
    ({"source": None}, "`source` must be text: a paper, or who defined it (found None)"),
    ({"aggregate": "sum"}, '`aggregate` must be one of "mean", "ratio_of_means"'),
    ({"compute": None}, "`compute` must be a function (found None)"),
    ({"reads": "steps"}, '`reads` must be one of "window", "global", "counts"'),
    ({"needs": frozenset({"ranks"})}, "`needs` must be a frozenset of some of brier, brier_top50"),
    ({"needs": {"entropy"}}, "`needs` must be a frozenset of some of"),
    ({"needs": ["entropy"]}, "`needs` must be a frozenset of some of"),
    ({"parts": pair}, '`parts` must be a function with aggregate "ratio_of_means", else None'),
    ({"aggregate": "ratio_of_means"}, "`parts` must be a function with aggregate"),
    (RATIO | {"parts": (1, 2)}, "`parts` must be a function with aggregate"),
    (RATIO | {"scope": "prompt"}, '`scope` must be "response" with aggregate "ratio_of_means"'),
]


@pytest.mark.parametrize(("fields", "message"), BAD)
def test_a_wrong_declaration_names_the_metric_and_the_field(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        metric(**{"compute": positions, "scope": "response", **fields})
    text = str(caught.value)
    assert message in text
    assert text.endswith(". Fix the metric's definition.")
    name = fields.get("name", "mine")
    named = isinstance(name, str) and name
    assert text.startswith(f"metric {name}: a metric's `" if named else "metric: a metric's `")


def test_a_ratio_of_means_is_declared_with_its_parts() -> None:
    assert metric(positions, "response", **RATIO).parts_of(ROWS[0].record, "4") == (1.0, 2.0)


# what a metric's functions may return


@pytest.mark.parametrize("value", [None, "1", True, math.inf, 10**400, Fraction(10**400), [1.0]])
def test_a_value_must_be_a_number(value: Any) -> None:
    each = metric(lambda record, window: value, "response", owner="plugin.py (file)")
    with pytest.raises(ConfigError) as caught:
        each.rate(ROWS, "4")
    assert str(caught.value) == (
        "plugin.py (file): metric mine gave no number for teacher 'A'; undefined is NaN (found "
        f"{shorten(value)}). Fix the metric."
    )


@pytest.mark.parametrize("value", [1e101, -1e308, 10**101])
def test_a_value_may_not_be_beyond_what_can_be_squared(value: Any) -> None:
    each = metric(lambda record, window: value, "response", owner="plugin.py (file)")
    with pytest.raises(ConfigError, match=r"mine gave a number beyond 1e\+100 for teacher 'A'"):
        each.rate(ROWS, "4")
    assert metric(lambda record, window: -1e100, "response").of(ROWS[0].record, "4") == -1e100


def test_a_reason_can_be_printed_and_written() -> None:
    def undefined(record: Any, window: str) -> float:
        raise UndefinedError("not\nhere \ud83d")

    found = metric(undefined, "response").rate(ROWS, "4")
    assert {*found.reasons} == {"not\\nhere \\ud83d"}


@pytest.mark.parametrize("value", [np.float32(-1.5), Fraction(-3, 2), -2, math.nan])
def test_a_value_may_be_any_number(value: Any) -> None:
    found = metric(lambda record, window: value, "response").of(ROWS[0].record, "4")
    assert type(found) is float
    assert found == pytest.approx(float(value), nan_ok=True)


@pytest.mark.parametrize("values", [[1, 2], (1.0, 2.0), np.array([1.0, 2.0]), iter([1.0, 2.0])])
def test_values_of_several_rows_may_be_any_iterable(values: Any) -> None:
    rows = [ROWS[0], ROWS[2]]
    assert metric(lambda rows, window: values).rate(rows, "4").values == (1.0, 2.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "gave no list of 2 values"),
        (1.0, "gave no list of 2 values"),
        ([1.0], "gave 1 values for 2 responses"),
        ([1.0, 2.0, 3.0], "gave 3 values for 2 responses"),
        ([1.0, None], "gave no number for teacher 'B'"),
        ([math.inf, 1.0], "gave no number for teacher 'A'"),
        ("ab", "gave no number for teacher 'A'"),
    ],
)
def test_values_of_several_rows_are_a_number_each(values: Any, message: str) -> None:
    each = metric(lambda rows, window: values, owner="plugin.py (file)")
    with pytest.raises(ConfigError, match=rf"^plugin.py \(file\): metric mine {message}"):
        each.rate([ROWS[0], ROWS[2]], "4")


def test_parts_become_plain_floats() -> None:
    ratio = RATIO | {"parts": lambda record, window: (np.float32(1.5), record.n_tokens)}
    found = metric(positions, "response", **ratio).parts_of(ROWS[0].record, "4")
    assert found == (1.5, 8.0)
    assert {type(one) for one in found} == {float}
    undefined = RATIO | {"parts": lambda record, window: (math.nan, 1.0)}
    assert math.isnan(metric(positions, "response", **undefined).parts_of(ROWS[0].record, "4")[0])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (1.0, "gave no pair of numerator and denominator"),
        ((1.0,), "gave no pair of numerator and denominator"),
        ((1.0, 2.0, 3.0), "gave no pair of numerator and denominator"),
        ((1.0, None), "gave no number for teacher 'A'"),
        ((math.inf, 1.0), "gave no number for teacher 'A'"),
    ],
)
def test_parts_must_be_a_pair_of_numbers(parts: Any, message: str) -> None:
    ratio = RATIO | {"parts": lambda record, window: parts, "owner": "plugin.py (file)"}
    with pytest.raises(ConfigError, match=rf"^plugin.py \(file\): metric mine {message}"):
        metric(positions, "response", **ratio).parts_of(ROWS[0].record, "4")


def fails(*arguments: Any) -> Any:
    raise KeyError("no such thing")


def refuses(*arguments: Any) -> Any:
    raise DataError("not of these", where="row 3")


@pytest.mark.parametrize("scope", SCOPES)
def test_a_foreign_exception_names_the_metric_and_ours_passes(scope: str) -> None:
    with pytest.raises(ConfigError) as caught:
        metric(fails, scope, owner="plugin.py (file)").rate(ROWS, "4")
    assert str(caught.value) == (
        "plugin.py (file): metric mine failed: KeyError: 'no such thing'. Fix the metric."
    )
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(DataError, match="^row 3: not of these"):
        metric(refuses, scope).rate(ROWS, "4")


def test_exceptions_of_parts_are_treated_the_same() -> None:
    ratio = metric(positions, "response", **RATIO | {"parts": fails})
    with pytest.raises(ConfigError, match="^metric mine failed: KeyError: 'no such thing'"):
        ratio.parts_of(ROWS[0].record, "4")
    with pytest.raises(DataError, match="^row 3: not of these"):
        dataclasses.replace(ratio, parts=refuses).parts_of(ROWS[0].record, "4")


# why a row has no value


def lacking(record_of: Any, **fields: Any) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Three rows of which the middle one lacks something, of a metric that counts its rows."""
    rows = [ROWS[0], Row("p0", "C", record_of), ROWS[2]]
    ratings = metric(lambda rows, window: [len(rows)] * len(rows), **fields).rate(rows, "4")
    return ratings.values, ratings.reasons


@pytest.mark.parametrize(
    ("record", "fields", "reason"),
    [
        (make_record(sums={"4": [-1.0, -1.0]}), {}, "window 'global' was not scored"),
        (make_record(sums={"global": [-1.0, -1.0]}), {"reads": "window"}, "window '4' was not"),
        (make_record(undefined={"global": "too long"}), {}, "too long"),
    ],
)
def test_a_group_is_computed_without_rows_that_lack_what_is_read(
    record: Any, fields: dict[str, Any], reason: str
) -> None:
    values, reasons = lacking(record, **fields)
    assert (values[0], values[2]) == (2.0, 2.0)
    assert math.isnan(values[1])
    assert reasons[1].startswith(reason)
    assert (reasons[0], reasons[2]) == ("", "")


@pytest.mark.parametrize("scope", SCOPES)
def test_a_statistic_that_is_needed_and_not_there(scope: str) -> None:
    rows = [
        Row("p0", "A", record_with(entropy=(1.0, 2.0))),
        Row("p0", "A", record_with()),
        Row("p0", "A", record_with(entropy=(1.0, math.nan), undefined={"entropy": "NaN logits"})),
    ]
    compute = positions if scope != "response" else lambda record, window: 0.0
    ratings = metric(compute, scope, needs=frozenset({"entropy"})).rate(rows, "4")
    assert ratings.values[0] == 0.0
    assert all(map(math.isnan, ratings.values[1:]))
    assert ratings.reasons == ("", "the statistic 'entropy' was not gathered", "NaN logits")


@pytest.mark.parametrize("requested", [["mine"], ["all"], ["rsr", "mine"]])
def test_a_statistic_that_another_version_did_not_gather(requested: list[str]) -> None:
    record = record_with(capped_rank=(1.0, 2.0))
    old = dataclasses.replace(record, settings={**record.settings, "metrics": requested})
    (reason,) = (
        metric(positions, needs=frozenset({"entropy"})).rate([Row("p0", "A", old)], "4").reasons
    )
    assert reason == ("the statistic 'entropy' was not gathered: older version, score again")


def test_a_statistic_may_be_of_the_response() -> None:
    rows = [Row("p0", "A", record_with(reward=1.0))]
    assert metric(positions, needs=frozenset({"reward"})).rate(rows, "4").values == (0.0,)


def test_a_metric_of_counts_needs_no_window() -> None:
    rows = [Row("p0", "A", make_record(sums={}))]
    assert metric(positions, reads="counts").rate(rows, "4").values == (0.0,)


@pytest.mark.parametrize("scope", SCOPES)
def test_nan_without_a_reason_says_so(scope: str) -> None:
    compute = {"response": lambda record, window: math.nan}.get(
        scope, lambda rows, window: [math.nan] * len(rows)
    )
    ratings = metric(compute, scope).rate(ROWS[:1], "4")
    assert ratings.reasons == ("no reason was recorded",)


# UndefinedError


def refuse(*teachers: str, reason: str = "too few", by_row: bool = True) -> Any:
    def compute(rows: Sequence[Scored], window: str) -> list[float]:
        if out := [place for place, row in enumerate(rows) if row.teacher in teachers]:
            raise UndefinedError(reason, out if by_row else ())
        return [float(len(rows))] * len(rows)

    return compute


def test_undefined_holds_for_the_group_alone() -> None:
    rows = [*ROWS[:2], ROWS[2], ROWS[4]]  # of the two prompts only p0 has an answer of B's
    ratings = metric(refuse("B", by_row=False)).rate(rows, "4")
    assert ratings.values == pytest.approx((math.nan, 1, math.nan, math.nan), nan_ok=True)
    assert ratings.reasons == ("too few", "", "too few", "too few")


def test_undefined_of_some_rows_leaves_the_others_to_be_computed() -> None:
    ratings = metric(refuse("B"), "corpus").rate(ROWS, "4")
    assert ratings.values == pytest.approx((3, 3, math.nan, math.nan, 3), nan_ok=True)
    assert ratings.reasons == ("", "", "too few", "too few", "")


def test_reasons_of_several_rounds_are_kept() -> None:
    def compute(rows: Sequence[Scored], window: str) -> list[float]:
        if len(rows) == 5:
            raise UndefinedError("first", [0])
        if len(rows) == 4:
            raise UndefinedError("second", [0])
        raise UndefinedError("rest")

    ratings = metric(compute, "corpus").rate(ROWS, "4")
    assert ratings.reasons == ("first", "second", "rest", "rest", "rest")


@pytest.mark.parametrize("rows", [(), (7,), (-1,)])
def test_a_row_that_is_not_there_means_all(rows: tuple[int, ...]) -> None:
    def compute(given: Sequence[Scored], window: str) -> list[float]:
        raise UndefinedError("", rows)

    assert metric(compute).rate(ROWS, "4").reasons == ("no reason was recorded",) * len(ROWS)


def test_of_one_response_it_is_that_response() -> None:
    def compute(record: Any, window: str) -> float:
        if record.sample == 1:
            raise UndefinedError("the second")
        return 1.0

    each = metric(compute, "response")
    assert each.rate(ROWS, "4").reasons == ("", "", "", "", "the second")
    assert math.isnan(each.of(ROWS[4].record, "4"))
    assert each.of(ROWS[0].record, "4") == 1.0


# what metrics are built from


def test_sums_over_a_response() -> None:
    record = record_with((-1.0, -2.0), capped_rank=(3.0, 4.0))
    assert (log_prob(record), summed(record, "capped_rank")) == (-3.0, 7.0)
    assert math.isnan(summed(record, "entropy"))
    assert math.isnan(log_prob(make_record(sums={"4": [-1.0, -1.0]})))
    gap = dataclasses.replace(record, step_statistics={"entropy": (1.0, math.nan)})
    assert math.isnan(summed(gap, "entropy"))
