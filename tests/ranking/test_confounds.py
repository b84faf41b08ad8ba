"""Possible confounds of a score: correlations, composition, and the notes.

How much a window shows of what precedes a step: by hand and by plain loops.

Families by name: what counts, and what only looks alike.

Loops, counted word by word.
"""

from __future__ import annotations

import math
import random
import statistics
import sys

import pytest

from lnat_plugins.metrics import get_metric
from lnat_plugins.ranking import Confounds, ControlCorrelation
from lnat_plugins.ranking.confounds import (
    CONTROLS,
    FAMILIES,
    FamilyPairs,
    confounds,
    control_values,
    families,
    shown_context,
)
from lnat_plugins.ranking.table import score_table
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.steps.windows import parse_window
from tests.helpers_samples import make_record
from tests.ranking import oracle
from tests.ranking.builders import LOWER, Row, random_rows, rank_rows, row, table

LN = get_metric("local_naturalness")


def panel(rows: list[Row], *, metric: object = LN, **more: object) -> Confounds:
    prompts = list(dict.fromkeys(each.prompt_id for each in rows))
    teachers = list(dict.fromkeys(each.teacher for each in rows))
    scores = score_table(rows, prompts, teachers, metric, "4")  # type: ignore[arg-type]
    return confounds(scores, control_values(scores, rows), rows, **more)  # type: ignore[arg-type]


def length(rows: list[Row], **more: object) -> ControlCorrelation:
    return panel(rows, **more).correlations[0]  # type: ignore[arg-type]


def test_the_two_correlations_with_length_can_disagree() -> None:
    rows = [row("p0", "A", -1.0, 1), row("p0", "B", -2.0, 2)]
    rows += [row("p1", "A", -0.3, 30), row("p1", "B", -0.4, 40)]
    found = length(rows)
    assert found.control == "n_tokens"
    assert found.within_prompt == pytest.approx(-1.0)
    assert found.overall == pytest.approx(0.6)
    assert (found.responses, found.prompts) == (4, 2)


def test_positive_is_better_with_more_whatever_the_direction() -> None:
    rows = [row("p0", "A", -1.0, 20), row("p0", "B", -2.0, 10)]
    assert length(rows).overall == pytest.approx(1.0)
    assert length(rows, metric=LOWER).overall == pytest.approx(1.0)


def test_prompts_without_a_correlation_are_left_out_of_its_mean() -> None:
    rows = [row("p0", "A", -1.0, 1), row("p0", "B", -2.0, 2), row("p1", "A", -1.0, 5)]
    rows += [row("p1", "B", -2.0, 5)]
    found = length(rows)
    assert (found.within_prompt, found.prompts) == (pytest.approx(-1.0), 1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("metric", [LN, LOWER], ids=lambda metric: str(metric.name))
def test_the_loops_agree(seed: int, metric: object) -> None:
    rows = random_rows(seed)
    found = panel(rows, metric=metric).correlations
    assert tuple(one.control for one in found) == CONTROLS
    for one in found:
        expected, prompts = oracle.within_prompts(rows, metric, get_metric(one.control))  # type: ignore[arg-type]
        assert one.within_prompt == pytest.approx(expected, nan_ok=True)
        assert one.prompts == prompts


def test_the_winners_are_those_of_the_matched_prompts() -> None:
    rows = table({"A": [-1, -2, -1, -1], "B": [-2, -1, -1, None], "C": [-3, -3, -3, -3]})
    ranking = rank_rows(rows)
    assert ranking.confounds.composition == pytest.approx({"A": 0.5, "B": 0.5, "C": 0})
    for line in ranking.teachers:
        assert ranking.confounds.composition[line.teacher] == line.win_rate


def test_without_a_matched_prompt_there_is_no_choice() -> None:
    rows = [row("p0", "A", -1.0), row("p1", "B", -1.0)]
    assert panel(rows).composition == {}


def test_repetition_is_pooled_over_a_teachers_words() -> None:
    rows = table({"A": [-1, -1], "B": [-1, -1]})
    fresh = " ".join(map(str, range(40)))
    texts = ["word " * 40, fresh, fresh, fresh]
    found = panel(rows, texts=texts)
    assert found.repetition == pytest.approx({"A": 39 / 80, "B": 0.0})
    assert "20 that the same response had said before: A 49%." in found.notes[-1]
    assert panel(rows).repetition == {}
    assert math.isnan(panel(rows, texts=["", "b", "", "b"]).repetition["A"])


def long_row(teacher: str, n_steps: int) -> Row:
    sums = {"4": [-1.0] * n_steps, "global": [-1.0] * n_steps}
    return Row("p0", teacher, make_record(teacher, sums, [1] * n_steps))


def test_a_window_that_shows_nearly_all_is_global_under_another_name() -> None:
    found = panel([long_row("A", 6), long_row("B", 5)])
    assert found.context == pytest.approx({"4": (1 + (4 + 4 / 5) / 5) / 2})
    assert found.notes == (
        "Window 4 shows 98% of what precedes a step here: this is global naturalness under "
        "another name.",
    )
    assert panel([long_row("A", 12), long_row("B", 12)]).notes == ()
    assert panel([long_row("A", 6)], metric=get_metric("global_naturalness")).notes == ()


def test_responses_of_one_step_are_noted() -> None:
    found = panel([long_row("A", 1), long_row("B", 1)])
    assert math.isnan(found.context["4"])
    assert "No response has a second step" in found.notes[0]


def test_the_students_own_family_is_noted() -> None:
    rows = table({"QwQ": [-1.0], "Qwen3-32B": [-1.0], "DSQ": [-1.0]})
    found = panel(rows, student="Qwen/Qwen2.5-7B-Instruct")
    assert (found.families, found.same_family) == (("qwen",), ("QwQ", "Qwen3-32B"))
    assert "By name, QwQ, Qwen3-32B are of the student's own family (qwen)" in found.notes[-1]
    assert panel(rows, student="google/gemma-3-1b").same_family == ()
    assert panel(rows).families == ()
    only = panel([row for row in rows if row.teacher != "DSQ"], student="Qwen/Qwen3-0.6B")
    assert only.same_family == ("QwQ", "Qwen3-32B")
    assert not any("family" in note for note in only.notes)  # nobody is preferred for it
    assert only.family_pairs is None


def test_how_much_of_the_order_the_family_could_explain() -> None:
    rows = table({"QwQ": [-1.0], "A": [-2.0], "Qwen3": [-3.0], "B": [-3.0], "C": [-2.5]})
    found = panel(rows, student="Qwen/Qwen2.5-7B-Instruct")
    # QwQ is ahead of A, B and C; Qwen3 ties with B, and is behind A and C.
    assert found.family_pairs == FamilyPairs(3.5, 6, 10)
    said = (
        "They are ahead in 3.5 of 6 pairs with other teachers; that could explain no more of the "
    )
    assert f"{said}order's 10 pairs." in found.notes[-1]
    lower = panel(rows, metric=LOWER, student="Qwen/Qwen2.5-7B-Instruct")
    assert lower.family_pairs == found.family_pairs


LIKE = "the score goes with n_tokens (Spearman {}1.000): choosing by it is much like choosing the"


def test_a_score_that_is_nearly_a_count_is_noted() -> None:
    rows = [row(f"p{i}", t, -1.0 - n, 10 + n + i) for i in range(8) for n, t in enumerate("ABC")]
    assert panel(rows).notes[0] == f"Within prompts {LIKE.format('-')} shortest."
    rows = [row(f"p{i}", t, -9.0 + n, 10 + n + i) for i in range(8) for n, t in enumerate("ABC")]
    assert panel(rows).notes[0] == f"Within prompts {LIKE.format('')} longest."
    alone = [row(f"p{n}", "A", -1.0 - n, 10 + n) for n in range(10)]
    assert panel(alone).notes[0] == f"Over all responses {LIKE.format('-')} shortest."
    assert (length(alone).spare, length(alone[:9]).spare) == (8, 7)
    assert not [note for note in panel(alone[:9]).notes if "much like" in note]


def test_a_few_responses_or_a_loose_relation_are_not_noted_as_a_count() -> None:
    few = [row(f"p{i}", t, -1.0 - n, 10 + n) for i in range(7) for n, t in enumerate("ABC")]
    assert (length(few).within_prompt, length(few).spare) == (pytest.approx(-1.0), 7)
    # Two responses always go together or against each other: that tells the teachers apart.
    two = [row(f"p{i}", t, -1.0 - n, 10 + n) for i in range(50) for n, t in enumerate("AB")]
    assert (length(two).within_prompt, length(two).spare) == (pytest.approx(-1.0), 0)
    loose = [
        row(f"p{i}", t, -1.0 - n, 10 + (-n if i % 3 else n))
        for i in range(30)
        for n, t in enumerate("ABC")
    ]
    assert length(loose).within_prompt == pytest.approx(1 / 3)
    for rows in (few, two, loose):
        assert not [note for note in panel(rows).notes if "much like choosing" in note]


def record(tokens: list[int], windows: tuple[str, ...] = ("1",)) -> StepSums:
    return make_record("A", {w: [-1.0] * len(tokens) for w in windows}, tokens)


def test_by_hand() -> None:
    assert shown_context([record([10, 30, 5])]) == pytest.approx({"1": (1 + 30 / 40) / 2})


def test_responses_count_alike_however_many_steps_they_have() -> None:
    both = [record([1, 1]), record([1] * 101)]
    assert shown_context(both)["1"] == pytest.approx((1 + shown_context(both[1:])["1"]) / 2)


def test_many_responses_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [record([10 + i] * (1 + i % 4)) for i in range(11)]
    whole = shown_context(records)
    monkeypatch.setattr(sys.modules[shown_context.__module__], "_AT_ONCE", 4)
    assert shown_context(records) == whole


def test_the_ends_of_the_scale() -> None:
    found = shown_context([record([3, 4, 5], ("2", "100%", "0", "global"))])
    assert [*found] == ["0", "2", "100%"]
    assert found == {"0": 0.0, "2": 1.0, "100%": 1.0}


def test_where_nothing_precedes_a_step_there_is_no_share() -> None:
    assert math.isnan(shown_context([record([5]), record([7])])["1"])
    assert shown_context([]) == {}


@pytest.mark.parametrize("window", ["0", "1", "3", "10%", "50%"])
def test_the_loops_agree_context(window: str) -> None:
    draw = random.Random(window)
    records = [
        record([draw.randint(1, 9) for _ in range(draw.randint(1, 12))], (window,))
        for _ in range(10)
    ]
    of_responses = []
    for one in records:
        of_steps = []
        for step in range(len(one.tokens)):
            start = step - parse_window(window).preceding(step)
            before = sum(one.tokens[:step])
            if before:
                of_steps.append(sum(one.tokens[start:step]) / before)
        if of_steps:
            of_responses.append(statistics.fmean(of_steps))
    assert shown_context(records)[window] == pytest.approx(statistics.fmean(of_responses))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", {"qwen"}),
        ("QwQ", {"qwen"}),
        ("student-qwq", {"qwen"}),
        ("qwen3_32b", {"qwen"}),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", {"deepseek", "qwen"}),
        ("meta-llama/Llama-3.1-8B", {"llama"}),
        ("mistralai/Mixtral-8x7B-v0.1", {"mistral"}),
        ("google/gemma-3-1b-it", {"gemma"}),
        ("microsoft/phi-4", {"phi"}),
        ("Phi4", {"phi"}),
        ("openai/gpt-oss-20b", {"gpt"}),
        ("gpt4o", {"gpt"}),
        ("claude-sonnet", {"claude"}),
        ("DSQ", set()),
        ("R1", set()),
        ("s1.1", set()),
        ("dolphin", set()),
        ("philosopher", set()),
        ("human", set()),
        ("", set()),
    ],
)
def test_names(name: str, expected: set[str]) -> None:
    assert families(name) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/claude/models/student-base", set()),
        ("/models/qwen/Llama-3-8B/", {"llama"}),
        ("../qwen", {"qwen"}),
        ("./Qwen3-4B", {"qwen"}),
        ("C:\\phi\\work\\gemma-2b", {"gemma"}),
    ],
)
def test_of_a_path_only_the_last_part_is_read(path: str, expected: set[str]) -> None:
    assert families(path) == expected


def test_no_word_stands_for_two_families() -> None:
    words = [word for each in FAMILIES.values() for word in each.split()]
    assert len(words) == len(set(words))
    assert all(word.isalpha() and word.islower() for word in words)
