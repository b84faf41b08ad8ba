"""The order when the score is taken in another way: each way by hand, and where it cannot be had.

A rival of equal steps has the same score in every way. Put just above and just below a teacher's
score, as computed by hand, it must win and lose.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import load_teacher_set, score
from lnat_plugins.metrics import get_metric
from lnat_plugins.metrics.naturalness import local_naturalness
from lnat_plugins.ranking.sensitivity import FULL, Sensitivity, Variant, _with_tags, sensitivity
from lnat_plugins.ranking.table import score_table
from lnat_plugins.scoring.record import StepSums
from tests.harness.lab import write_set
from tests.helpers_samples import make_record
from tests.helpers_students import assert_near, student, tokenizer
from tests.ranking.builders import LOWER, Row, rank_rows, table

LN = get_metric("local_naturalness")
RECORDED = ("with steps line", "with window 10%")


def of(rows: list[Row], metric: object = LN, window: str = "4") -> Sensitivity:
    prompts = list(dict.fromkeys(row.prompt_id for row in rows))
    teachers = list(dict.fromkeys(row.teacher for row in rows))
    scores = score_table(rows, prompts, teachers, metric, window)  # type: ignore[arg-type]
    return sensitivity(scores, rows, prompts, window)


def by_name(found: Sensitivity) -> dict[str, Variant]:
    return {one.name: one for one in found.variants}


def steps(means: list[float], tokens: list[int], teacher: str = "A", **more: Any) -> StepSums:
    """A record of these steps' means, the same under window 4 and the whole context."""
    sums = [value * n for value, n in zip(means, tokens, strict=True)]
    return replace(make_record(teacher, {"4": sums, "global": sums}, tokens), **more)


def windows(**means: list[float]) -> StepSums:
    """A record of steps of 5 tokens, with these means under each window: w4, w1, whole."""
    names = {"w4": "4", "w1": "1", "whole": "global"}
    sums = {names[name]: [5 * value for value in of] for name, of in means.items()}
    return make_record("A", sums, [5] * len(means["w4"]))


def rival(value: float, like: StepSums, name: str = "B") -> StepSums:
    """Five tokens a step, three steps, every score of them the same in every way."""
    sums = dict.fromkeys(like.sums, [5 * value] * 3)
    record = make_record(name, sums, [5] * 3)
    return replace(record, variants=dict.fromkeys(like.variants, value))


CASES = [
    ("without steps under 4 tokens", steps([-1, -9, -2], [4, 3, 5]), -4.0, -1.5),
    ("without each trace's lowest 5% of steps", steps([-1] * 9 + [-11], [5] * 10), -2.0, -1.0),
    (
        "without each trace's lowest 5% of steps",
        steps([-1] * 28 + [-16, -31], [5] * 30), -2.5, -1.0,
    ),
    ("with every token weighing the same", steps([-1, -2], [4, 12]), -1.5, -1.75),
    ("without first and last step", steps([-5, -1, -3], [5] * 3), -3.0, -1.0),
    (
        "with tags scored",
        steps([-1, -2], [4, 4], tag_tokens=(0, 2), tag_sums={"4": (0.0, -10.0)}), -1.5, -2.0,
    ),
    ("at window 1", windows(w4=[-1, -3], w1=[-2, -5], whole=[-1, -1]), -2.0, -3.5),
    ("under the whole context", windows(w4=[-1, -3], w1=[-2, -5], whole=[-1, -2]), -2.0, -1.5),
    ("with steps line", steps([-1, -3], [5, 5], variants={"steps line": -2.5}), -2.0, -2.5),
    ("with window 10%", steps([-1, -3], [5, 5], variants={"window 10%": -1.5}), -2.0, -1.5),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "record", "usual", "other"), CASES, ids=lambda each: str(each)[:40]
)
def test_each_way_by_hand(name: str, record: StepSums, usual: float, other: float) -> None:
    assert local_naturalness(record, "4") == pytest.approx(usual)
    assert abs(other - usual) > 0.1
    for shift, first in ((1e-6, "B"), (-1e-6, "A")):
        beside = Row("p0", "B", rival(other + shift, record))
        found = by_name(of([Row("p0", "A", record), beside]))[name]
        assert found.order[0] == first
        assert found.usual == (("A", "B") if usual > other else ("B", "A"))
        assert found.same_first is (found.order[0] == found.usual[0])
        assert found.tau == (1.0 if found.same_order else -1.0)
        assert found.prompts == 1


def test_a_short_trace_loses_no_step_as_its_lowest() -> None:
    """Half a step is the least that counts: 5% of 10 steps."""
    name = "without each trace's lowest 5% of steps"
    for n_steps, counts in ((9, False), (10, True)):
        record = steps([-1] * (n_steps - 1) + [-20], [5] * n_steps)
        rows = [Row("p0", "A", record), Row("p0", "B", rival(-1.5, record))]
        found = of(rows)
        assert (name in found.without_effect) is not counts
        if counts:
            assert (by_name(found)[name].usual, by_name(found)[name].order) == (
                ("B", "A"), ("A", "B"),
            )  # fmt: skip


def test_the_ways_in_the_order_in_which_they_are_reported() -> None:
    usual = [-1 - i * i / 30 for i in range(10)]
    sums = {
        name: [(value - less) * (3 + i) for i, value in enumerate(usual)]
        for name, less in (("4", 0), ("1", 1), ("global", 2))
    }
    record = replace(
        make_record("A", sums, [3 + i for i in range(10)]),
        tag_tokens=(1, *[0] * 9), tag_sums={"4": (-1.5, *[0.0] * 9)},
        variants={"steps line": -1.0, "window 10%": -1.0},
    )  # fmt: skip
    found = of([Row("p0", "A", record), Row("p0", "B", rival(-9, record))])
    assert [one.name for one in found.variants] == [
        "without steps under 4 tokens",
        "without each trace's lowest 5% of steps",
        "with every token weighing the same",
        "without first and last step",
        "with tags scored",
        "at window 1",
        "under the whole context",
        *RECORDED,
    ]
    assert (found.not_done, found.without_effect) == ({}, ())
    assert all(one.same_order and one.same_first for one in found.variants)


EFFECTLESS = (
    "without steps under 4 tokens",
    "without each trace's lowest 5% of steps",
    "with every token weighing the same",
    "without first and last step",
    "under the whole context",
)


NO_EFFECT = "Sensitivity: no other way of scoring changes a number of these responses."


def test_ways_that_change_no_number_are_named_and_not_counted() -> None:
    rows = [
        Row(f"p{p}", t, steps([v] * 3, [5] * 3))
        for p in range(2)
        for v, t in ((-1, "A"), (-2, "B"))
    ]
    found = of(rows)
    assert (found.variants, found.without_effect) == ((), EFFECTLESS)
    assert found.in_words() == (NO_EFFECT,)
    text = rank_rows(rows).to_markdown()
    assert (
        f"\n- {', '.join(EFFECTLESS)}: no effect on these responses, not counted\n- with steps"
        in text
    )
    assert text.count("no effect") == 1


def test_one_response_with_another_number_is_enough() -> None:
    """Though both orders are the same; what rounding changes is no effect."""
    for less, effect in ((1e-3, True), (1e-14, False)):
        rows = [
            Row(f"p{p}", t, steps([v] * 3, [5] * 3))
            for p in range(2)
            for v, t in ((-1, "A"), (-2, "B"))
        ]
        rows[2] = Row("p1", "A", steps([-1, -1 - less, -1], [5, 5, 5]))
        found = of(rows)
        assert [one.name for one in found.variants] == ["without first and last step"] * effect
        assert all(one.same_order for one in found.variants)
        left = tuple(name for name in EFFECTLESS if name != "without first and last step")
        assert found.without_effect == (left if effect else EFFECTLESS)
        same = "Sensitivity: no change of leader in 1 of 1 other way of scoring."
        assert found.in_words() == (same if effect else NO_EFFECT,)


@pytest.mark.parametrize(
    ("splitter", "settings", "window", "names"),
    [
        ("sentence@2", {"markers": "skip"}, "4", ("steps line", "window 10%")),
        ("sentence@2", {"markers": "keep"}, "4", ("steps line", "window 10%", "markers skip")),
        ("sentence@1", {}, "4", ("steps line", "window 10%", "markers skip")),
        ("line@1", {"markers": "skip"}, "4", ("steps sentence", "window 10%", "markers keep")),
        ("supplied", {"markers": "skip"}, "4", ("steps line", "window 10%", "markers keep")),
        ("sentence@2", {"markers": "skip"}, "10%", ("steps line", "window 4")),
        ("line@1", {"markers": "keep"}, "10%", ("steps sentence", "window 4", "markers skip")),
    ],
)
def test_what_full_would_score_is_named(
    splitter: str, settings: dict[str, str], window: str, names: tuple[str, ...]
) -> None:
    records = [
        make_record(t, {window: [-5.0, v], "global": [-5.0, v]}, splitter=splitter)
        for t, v in (("A", -1.0), ("B", -2.0))
    ]
    rows = [Row("p0", one.teacher, replace(one, settings=settings)) for one in records]
    found = of(rows, window=window)
    assert [name for name, why in found.not_done.items() if why == FULL] == [
        f"with {name}" for name in names
    ]


def test_the_ranking_s_own_window_is_no_other_way() -> None:
    record = windows(w4=[-1] * 3, w1=[-2] * 3, whole=[-3] * 3)
    rows = [Row("p0", "A", record), Row("p0", "B", rival(-2.5, record))]
    found = by_name(of(rows, window="1"))
    assert "at window 1" not in found
    assert found["at window 4"].order == found["at window 4"].usual == ("A", "B")
    assert (found["under the whole context"].order[0], of(rows).variants[0].usual[0]) == ("B", "A")


def test_tags_count_only_where_there_are_some() -> None:
    tagged = steps([-1, -1], [4, 4], tag_tokens=(2, 0), tag_sums={"4": (-8.0, 0.0)})
    plain = steps([-1.5, -1.5], [4, 4], "B")
    assert "with tags scored" not in by_name(of([Row("p0", "B", plain)]))
    found = by_name(of([Row("p0", "A", tagged), Row("p0", "B", plain)]))["with tags scored"]
    # (-4 - 8) / 6 and -1, so that A has -1.5 too: a tie, and the order of appearance stands.
    assert found.order == ("A", "B")
    assert math.isnan(found.tau)


TEXTS = {
    "QwQ": "<think>\nFirst step. So 3 + 4 = 7.\n\nWait. Second step.\n</think>\n\nThe answer is 7.",
    "R1": "First step. Second step.\n\nThe answer is 7.",
}


def test_tags_scored_is_what_keeping_them_gives(tmp_path: Path) -> None:
    """The records of `markers: skip` hold what `markers: keep` would have scored."""
    given = load_teacher_set(write_set(tmp_path, [
        {"prompt": "What is 3 + 4?", "teacher": teacher, "response": text}
        for teacher, text in TEXTS.items()
    ]))  # fmt: skip
    model = student("llama")
    skipped, kept = (
        [row.record for row in score(model, tokenizer(), given, markers=markers).rows]  # type: ignore[arg-type]
        for markers in ("skip", "keep")
    )
    assert skipped[0].tag_tokens and not kept[0].tag_tokens
    for one, other in zip(skipped, kept, strict=True):
        assert_near(_with_tags(one, "4"), local_naturalness(other, "4"))
    assert abs(local_naturalness(skipped[0], "4") - local_naturalness(kept[0], "4")) > 1e-3


def test_on_a_part_of_the_prompts_both_orders_are_of_that_part() -> None:
    """A leads over all three prompts; on the one whose responses have a middle, B does."""
    rows = []
    for prompt, (a, b) in {"p0": (-1, -2), "p1": (-1, -2)}.items():
        rows += [Row(prompt, "A", steps([a, a], [5, 5])), Row(prompt, "B", steps([b, b], [5, 5]))]
    long_a, long_b = steps([-4, -4, -4], [5] * 3), steps([-3, -3.5, -3], [5, 7, 5])
    rows += [Row("p2", "A", long_a), Row("p2", "B", long_b)]
    found = of(rows)
    middle = by_name(found)["without first and last step"]
    assert (middle.usual, middle.order, middle.prompts) == (("B", "A"), ("B", "A"), 1)
    assert middle.same_first and middle.same_order and middle.tau == 1.0
    where = "without first and last step (on 1 prompt that B leads by the usual score)"
    assert (middle.partial, middle.usual_first, middle.where) == (True, False, where)
    whole = by_name(found)["with every token weighing the same"]
    assert (whole.usual, whole.order, whole.prompts) == (("A", "B"), ("A", "B"), 3)
    assert (whole.partial, whole.where) == (False, "with every token weighing the same")
    assert found.changing == ()
    text = rank_rows(rows).to_markdown()
    assert f"- {where}: no change of order\n" in text
    count = len(found.variants)
    assert rank_rows(rows).sensitivity.in_words() == (
        f"Sensitivity: no change of leader in {count} of {count} other ways of scoring (1 of them "
        "on 1 prompt that B leads by the usual score).",
    )
    assert whole.usual_first and "other way of scoring" not in rank_rows(rows).verdict.text


def test_a_first_that_differs_on_that_part_already_is_said_to() -> None:
    rows = []
    for p in range(3):
        rows += [
            Row(f"p{p}", t, steps([v, v], [5, 5])) for t, v in (("A", -1), ("B", -2), ("C", -3))
        ]
    for t, means in (("A", [-5] * 3), ("B", [-3, -4.5, -3]), ("C", [-4, -3.0, -4])):
        rows.append(Row("p3", t, steps(means, [5] * 3)))
    found = by_name(of(rows))["without first and last step"]
    assert (found.usual, found.order, found.same_first) == (("B", "C", "A"), ("C", "B", "A"), False)
    line = (
        "- without first and last step (on 1 prompt that B leads by the usual score): C first: "
        "C > B > A\n"
    )
    assert line in rank_rows(rows).to_markdown()


def test_a_prompt_that_the_ranking_leaves_out_makes_no_part() -> None:
    """p1 has no score of B; without it, the way rests on all prompts that the ranking has."""
    rows = [Row("p0", t, steps([v, v - 1, v], [5] * 3)) for t, v in (("A", -1), ("B", -2))]
    rows.append(Row("p1", "A", steps([-1, -1], [5, 5])))
    found = by_name(of(rows))["without first and last step"]
    assert (found.prompts, found.partial, found.where) == (1, False, found.name)


def test_a_first_that_changes_on_a_part_is_said_to_wherever_it_is_named() -> None:
    """Of 40 prompts 20 have a middle; in it B leads, by the usual score A does."""
    rows = []
    for p in range(20):
        for t, edge, middle in (("A", -1, -4), ("B", -3, -2 - p / 1000)):
            rows.append(Row(f"p{p}", t, steps([edge, middle, edge], [5] * 3)))
            rows.append(Row(f"q{p}", t, steps([edge, edge], [5] * 2)))
    where = "without first and last step (on 20 prompts)"
    ranking = rank_rows(rows)
    assert ranking.verdict.text == (
        "By local_naturalness A is best for this student, but not in every way of scoring (95%, 2 "
        "teachers, 40 prompts). In 1 of 1 other way of scoring another teacher leads: B."
    )
    assert ranking.sensitivity.in_words()[0].endswith(f": B instead of A {where}.")
    assert f"- {where}: B first: B > A\n" in ranking.to_markdown()


def test_another_order_with_the_same_first_is_written_out() -> None:
    rows = [
        Row("p0", "A", steps([-1, -1, -1], [5] * 3)),
        Row("p0", "B", steps([-2, -4, -2], [5] * 3)),
        Row("p0", "C", steps([-3, -3, -3], [5] * 3)),
    ]
    found = by_name(of(rows))["without first and last step"]
    assert (found.order, found.same_first, found.same_order) == (("A", "C", "B"), True, False)
    assert found.tau == pytest.approx(1 / 3)
    text = rank_rows(rows).to_markdown()
    assert "- without first and last step: same first, other order: A > C > B\n" in text


NOT_DONE = {
    "without steps under 4 tokens": (
        [steps([-1] * 3, [3] * 3), steps([-2] * 3, [5] * 3, "B")],
        "it needs a step of 4 tokens in every response",
    ),
    "without first and last step": (
        [steps([-1, -2], [5, 5]), steps([-2] * 3, [5] * 3, "B")],
        "it needs responses of three steps or more",
    ),
    "with tags scored": (
        [steps([-1] * 3, [5] * 3, tag_tokens=(1, 0, 0)), steps([-2] * 3, [5] * 3, "B")],
        "it needs responses of one turn, and a back end that gives log-probabilities of tokens",
    ),
    "under the whole context": (
        [
            make_record(t, {"4": [-5.0 * v] * 3, "global": None}, [5] * 3)
            for v, t in ((1, "A"), (2, "B"))
        ],
        "it needs a back end that gives the score step by step",
    ),
    "at window 1": (
        [
            make_record(
                t, {"4": [-5.0 * v] * 3, "1": [math.nan] * 3}, [5] * 3,
                undefined={"1": "too long"} if t == "B" else {"1": "an older reason"},
            )
            for v, t in ((1, "A"), (2, "B"))
        ],
        "an older reason",
    ),
    "at window 2": (
        [
            make_record("A", {"4": [-5.0] * 3, "2": [-5.0] * 3}, [5] * 3),
            make_record(
                "B", {"4": [-9.0] * 3, "2": [math.nan] * 3}, [5] * 3, undefined={"2": "too long"}
            ),
        ],
        "too long",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_DONE)
def test_a_way_that_cannot_be_taken_says_what_it_needs(name: str) -> None:
    records, needs = NOT_DONE[name]
    rows = [Row("p0", record.teacher, record) for record in records]
    found = of(rows)
    assert found.not_done == {name: needs, **dict.fromkeys(RECORDED, FULL)}
    assert name not in by_name(found)
    text = rank_rows(rows).to_markdown()
    assert f"- {name}: not done; {needs}\n" in text
    assert f"- with steps line, with window 10%: not done; {FULL}\n" in text


def test_a_recorded_way_that_is_undefined_for_one_teacher_is_not_done() -> None:
    scored = steps([-1] * 3, [5] * 3, variants={"steps line": -1.0, "window 10%": -1.5})
    gone = steps(
        [-2] * 3, [5] * 3, "B", variants={"steps line": math.nan, "window 10%": -2.0},
        undefined={"steps line": "too long"},
    )  # fmt: skip
    found = of([Row("p0", "A", scored), Row("p0", "B", gone)])
    assert list(found.not_done) == ["with steps line"]
    assert by_name(found)["with window 10%"].order == ("A", "B")


@pytest.mark.parametrize("metric", [LOWER, get_metric("global_naturalness")], ids=["own", "global"])
def test_rankings_by_other_metrics_have_none(metric: object) -> None:
    rows = table({"A": [-1.0, -1.0], "B": [-2.0, -2.0]})
    assert of(rows, metric) == Sensitivity((), {})
    ranking = rank_rows(rows, metric)  # type: ignore[arg-type]
    assert ranking.sensitivity_lines == ()
    assert "Sensitivity" not in ranking.to_markdown()


def test_of_one_teacher_there_is_no_other_order() -> None:
    rows = [Row(f"p{p}", "A", steps([-1, -2, -3], [5] * 3)) for p in range(3)]
    assert of(rows) == Sensitivity() == Sensitivity((), {})
    ranking = rank_rows(rows)
    assert ranking.sensitivity_lines == ()
    assert "Sensitivity" not in ranking.to_markdown()
    assert of([*rows, Row("p0", "B", steps([-2, -3], [5, 6], "B"))]).variants


def test_a_verdict_says_that_it_depends() -> None:
    rows = []
    for p in range(40):
        rows.append(Row(f"p{p}", "A", steps([-9, -1.5 - p / 1000, -1], [2, 20, 20])))
        rows.append(Row(f"p{p}", "B", steps([-3 - p / 1000] * 3, [20] * 3)))
    said = rank_rows(rows).verdict
    assert said.kind == "best"
    assert said.text.startswith(
        "By local_naturalness B is best for this student, but not in every way of scoring (95%, 2 "
        "teachers, 40 prompts). In "
    )


def test_in_one_sentence() -> None:
    assert Sensitivity((), {}).in_words() == ()
    assert Sensitivity((), {"a": "b"}, ("at window 0",)).in_words() == (NO_EFFECT,)
    assert Sensitivity((), {"a": "b"}).in_words() == (
        "Sensitivity: no other way of scoring was possible.",
    )
    same, other = (
        Variant(f"at window {i}", order, ("A", "B"), order[0] == "A", 1.0, 9)
        for i, order in enumerate([("A", "B"), ("B", "A")])
    )
    assert Sensitivity((same,), {}).in_words() == (
        "Sensitivity: no change of leader in 1 of 1 other way of scoring.",
    )
    assert Sensitivity((other, same, other), {}).in_words() == (
        "Sensitivity, who leads in which other way of scoring: B instead of A at window 1, at "
        "window 1.",
    )
    part = replace(other, prompts=3, partial=True)
    assert Sensitivity((part, same), {}, ("at window 7",)).in_words() == (
        "Sensitivity, who leads in which other way of scoring: B instead of A at window 1 (on 3 "
        "prompts).",
    )
