"""What speaks against a verdict: each warning where it must be, and nowhere else."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from lnat_plugins.metrics import get_metric
from lnat_plugins.ranking import Ranking
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set import UnusableRows
from lnat_plugins.teacher_set.degenerate import KINDS, DegenerateCount
from tests.ranking.builders import LOWER, rank_rows, row

VOCABULARY = 1000
UNIFORM = -math.log(VOCABULARY)
KNOWN = {"vocabulary": VOCABULARY, "max_length": 100}


class Told(NamedTuple):
    """A row with its text, as those of samples files have."""

    prompt_id: str
    teacher: str
    record: StepSums
    text: str = "A reply."


def rows(
    values: tuple[float, float] = (-1.0, -2.0),
    student: dict[str, Any] | None = None,
    texts: tuple[str, str] = ("A reply.", "A reply."),
    **more: Any,
) -> list[Told]:
    """Two teachers on two prompts; `more` is of the records."""
    facts = {**KNOWN, **(student or {})}
    found = []
    for p in range(2):
        for teacher, value, text in zip("AB", values, texts, strict=True):
            record = row(f"p{p}", teacher, value).record
            found.append(Told(f"p{p}", teacher, replace(record, student=facts, **more), text))
    return found


def warned(given: list[Told], **more: Any) -> tuple[str, ...]:
    return ranked(given, **more).warnings


def ranked(given: list[Told], **more: Any) -> Ranking:
    return rank_rows(given, **{"bootstrap_iters": 20, **more})  # type: ignore[arg-type]


def test_where_nothing_is_wrong_there_is_no_warning() -> None:
    fine = {"hidden_thinking": [], "template_logprob": -0.1}
    assert warned(rows(student=fine)) == ()
    assert warned(rows(texts=("<think>\nSo.\n</think>\n\n7",) * 2, student=fine)) == ()


def test_nothing_is_known_of_the_student_in_older_records() -> None:
    older = [one._replace(record=replace(one.record, student={})) for one in rows((-90, -99))]
    assert warned(older) == ()


@pytest.mark.parametrize(
    ("means", "worse"),
    [((UNIFORM, UNIFORM), False), ((-13.8, -0.1), False), ((-8, -6.8), False), ((-8, -7), True)],
)
def test_worse_than_a_uniform_guess(means: tuple[float, float], worse: bool) -> None:
    """Of the teacher with the highest mean; -log 1,000 = -6.91."""
    found = warned(rows(means))
    assert bool(found) is worse
    if worse:
        assert found == (
            f"{WORSE}-7.00 nats, is below a uniform guess over its 1,000 tokens (-6.91); the "
            "table's means, over steps or prompts, differ from it.",
        )


WORSE = (
    "The student predicts this text worse than chance: even for its best teacher the mean over "
    "all tokens of all responses, "
)


@pytest.mark.parametrize("name", ["local_naturalness", "global_naturalness", "random", "mean_nll"])
def test_the_records_are_held_against_a_uniform_guess_whatever_ranks(name: str) -> None:
    metric = LOWER if name == LOWER.name else get_metric(name)
    (found,) = warned(rows((-9, -9)), metric=metric)
    assert found.startswith(f"{WORSE}-9.00 nats, is")
    assert warned(rows((-1, -2)), metric=metric) == ()


@pytest.mark.parametrize("value", [-99.0, 99.0])
def test_no_metric_s_own_values_are(value: float) -> None:
    """Not even where it calls them nats per token."""
    metric = replace(LOWER, name="another", compute=lambda record, window: value)
    assert metric.unit == "nats per token"
    assert warned(rows((-1, -2)), metric=metric) == ()
    assert warned(rows((-9, -9)), metric=metric)[0].startswith(f"{WORSE}-9.00 nats")


@pytest.mark.parametrize(("n_long", "worse"), [(20, False), (30, True)])
def test_every_token_counts_once_in_that_mean(n_long: int, worse: bool) -> None:
    """(10 · -1 + n · -9) / (10 + n) of each teacher; by responses the mean is -5."""
    given = [
        Told(prompt, teacher, replace(row(prompt, teacher, value, tokens).record, student=KNOWN))
        for teacher in "AB"
        for prompt, value, tokens in (("p0", -1.0, 10), ("p1", -9.0, n_long))
    ]
    assert bool(warned(given)) is worse


def test_that_mean_is_of_the_whole_context_where_it_was_scored() -> None:
    def of(**totals: float) -> tuple[str, ...]:
        given = rows()
        return warned(
            [one._replace(record=replace(one.record, totals=totals)) for one in given],
            metric=get_metric("random"),
        )

    nan = math.nan
    assert of(**{"4": -90.0, "global": -10.0}) == ()
    assert of(**{"4": -10.0, "global": -90.0})[0].startswith(f"{WORSE}-9.00")
    assert of(**{"4": -90.0})[0].startswith(f"{WORSE}-9.00")
    # A trace that is too long for it: the first window that has a score.
    assert of(**{"4": -90.0, "1": -10.0, "global": nan})[0].startswith(f"{WORSE}-9.00")
    assert of(**{"4": nan, "1": -90.0, "global": nan})[0].startswith(f"{WORSE}-9.00")
    assert of(**{"4": -10.0, "1": -90.0, "global": nan}) == ()
    assert of(**{"4": nan, "global": nan}) == ()


@pytest.mark.parametrize(("n_long", "warns"), [(0, False), (2, False), (3, True), (4, True)])
def test_responses_longer_than_the_context(n_long: int, warns: bool) -> None:
    """More than half of them. Ten tokens each; of the last one no more is read than predicted."""
    given = rows()
    for i, one in enumerate(given):
        prompt = 92 if i < n_long else 91
        given[i] = one._replace(record=replace(one.record, prompt_tokens=prompt))
    expected = (
        f"{n_long} of 4 responses are longer than the 100 tokens that the student reads at once: "
        "it cannot be trained on them whole."
    )
    assert warned(given) == ((expected,) if warns else ())
    unlimited = [
        one._replace(record=replace(one.record, student={"vocabulary": VOCABULARY}))
        for one in given
    ]
    assert warned(unlimited) == ()


def test_the_tokens_of_tags_count_for_the_length() -> None:
    tagged = {"tag_tokens": (5,), "tag_sums": {"4": (-5.0,)}, "prompt_tokens": 90}
    (found,) = warned(rows(**tagged))
    assert found.startswith("4 of 4 responses are longer than the 100 tokens")
    assert warned(rows(**{**tagged, "prompt_tokens": 86})) == ()


@pytest.mark.parametrize("text", ["<think>\nSo.\n</think>\n\n7", "So.</think>7"])
def test_hidden_thinking_matters_only_where_a_response_thinks(text: str) -> None:
    hides = {"hidden_thinking": ["</think>", "[/THINK]", "</thought>"]}
    expected = (
        "The student's chat template leaves out what stands before {} in a reply (found in {} of 4 "
        "responses), so training in this template would not see the reasoning that was scored."
    )
    found = warned(rows(student=hides, texts=("7", text)))
    assert found == (expected.format("</think>", 2),)
    both = warned(rows(student=hides, texts=("So.[/THINK]7", text)))
    assert both == (expected.format("</think> or [/THINK]", 4),)
    assert warned(rows(student=hides)) == ()
    assert warned(rows(texts=("7", text))) == ()


def test_without_texts_nothing_is_said_of_thinking() -> None:
    bare = [row(f"p{p}", t, -1.0) for p in range(2) for t in "AB"]
    hides = [
        one._replace(record=replace(one.record, student={**KNOWN, "hidden_thinking": ["</think>"]}))
        for one in bare
    ]
    assert warned(hides) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("logprob", "warns"),
    [(None, False), (-0.1, False), (UNIFORM / 2, False), (UNIFORM / 2 - 0.01, True)],
)
def test_a_template_that_the_student_does_not_know(logprob: float | None, warns: bool) -> None:
    found = warned(rows(student={"template_logprob": logprob}))
    assert bool(found) is warns
    if warns:
        assert found == (
            "The student seems not to be trained on this chat template (mean log p of its own "
            "tokens -3.46 nats): score a base model without --apply_chat_template, unless it will "
            "be trained with it.",
        )


@pytest.mark.parametrize(
    ("splitter", "warns"),
    [("sentence@1", True), ("sentence@2", False), ("line@1", False), ("supplied", False)],
)
def test_steps_of_the_old_cut(splitter: str, warns: bool) -> None:
    found = warned(rows(splitter=splitter))
    assert bool(found) is warns
    assert all(line.startswith("Steps were cut by sentence@1, by which") for line in found)


@pytest.mark.parametrize(
    ("name", "warns"),
    [("global_naturalness", False), ("global_step_naturalness", True), ("mean_nll", True)],
)
def test_the_old_cut_plays_no_part_in_a_score_without_steps(name: str, warns: bool) -> None:
    metric = LOWER if name == LOWER.name else get_metric(name)
    assert bool(warned(rows(splitter="sentence@1"), metric=metric)) is warns


def count(n_rows: int, **kinds: int) -> DegenerateCount:
    named = {kind: kinds.get(kind.replace(" ", "_"), 0) for kind in KINDS}
    return DegenerateCount(n_rows, sum(kinds.values()), named)


def test_degenerate_responses_are_counted_the_worst_teacher_first() -> None:
    counts = {"A": count(2, loop=1), "B": count(2, answer_only=1, cut_off=1)}
    ranking = ranked(rows(), degenerate=lambda: counts)
    assert ranking.warnings == (
        "Degenerate responses: B 2 of 2 (answer only 1, cut off 1), A 1 of 2 (loop 1). Some "
        "scores favour such rows: look at them before training.",
    )
    assert ranking.degenerate == counts
    assert f"- {ranking.warnings[0]}\n" in ranking.to_markdown()


@pytest.mark.parametrize("counts", [{}, {"A": count(2), "B": count(2)}])
def test_no_degenerate_response_no_line(counts: dict[str, DegenerateCount]) -> None:
    ranking = ranked(rows(), degenerate=lambda: counts)
    assert ranking.warnings == ()
    assert "egenerate" not in ranking.to_markdown()


def test_the_gravest_comes_first() -> None:
    facts = {"hidden_thinking": ["</think>"], "template_logprob": -9.0}
    given = rows((-9, -9), facts, ("a</think>b",) * 2, prompt_tokens=99, splitter="sentence@1")
    found = warned(given, degenerate=lambda: {"A": count(2, loop=2)})
    begins = [
        "The student predicts this te", "4 of 4 responses are longer", "The student's chat templ",
        "The student seems not to be ", "Steps were cut by sentence@1", "Degenerate responses: A",
    ]  # fmt: skip
    assert [line.startswith(begin) for line, begin in zip(found, begins, strict=True)] == [True] * 6
    lines = ranked(given).to_markdown().splitlines()
    assert lines[1:6] == [f"- {line}" for line in found[:5]]


def unusable(n_rows: int, **reasons: int) -> UnusableRows:
    return UnusableRows(n_rows, reasons, dict.fromkeys(reasons, "rows.jsonl row 3"))


def test_rows_left_out_are_one_line_above_a_twentieth() -> None:
    counts = {
        "A": unusable(100, empty=6, null=7),
        "B": unusable(100, null=5),
        "C": unusable(2, x=2),
    }
    ranking = ranked(rows(), unusable=counts)
    assert ranking.warnings == (
        "Rows that could not be used were left out: C 2 of 2 (mostly: x), A 13 of 100 (mostly: "
        "null). A teacher's failures are seldom spread evenly over its prompts: `lnat check` names "
        "the first ones.",
    )
    assert f"- {ranking.warnings[0]}\n" in ranking.to_markdown()
    assert f"- {ranking.warnings[0]}\n" in ranking.to_markdown(brief=True)
    assert ranking.as_dict()["unusable"]["A"]["reasons"] == {"empty": 6, "null": 7}


@pytest.mark.parametrize("counts", [None, {}, {"A": unusable(100, null=5), "B": unusable(9)}])
def test_few_rows_left_out_are_no_warning(counts: dict[str, UnusableRows] | None) -> None:
    assert ranked(rows(), unusable=counts).warnings == ()


class Checked(NamedTuple):
    """A row of which it is known, or not, whether it is right."""

    prompt_id: str
    teacher: str
    record: StepSums
    correct: bool | None


@pytest.mark.parametrize(
    ("right", "words"),
    [
        ({"A": "yyn", "B": "yyy", "C": "yyy", "D": "nnn"},
         "A is right in 2 of 3, less often than 2 of the 3 others."),
        ({"A": "yn?", "B": "yyy"}, "A is right in 1 of 2, less often than the other."),
        ({"A": "yyn", "B": "yyy", "C": "yyn", "D": "nnn"}, None),
        ({"A": "yyy", "B": "yyy", "C": "nnn"}, None),
        ({"A": "???", "B": "yyy"}, None),
        ({"A": "nnn", "B": "???"}, None),
    ],
    ids=["below the median", "of two", "at the median", "above", "not known", "alone known"],
)  # fmt: skip
def test_a_first_teacher_that_is_less_often_right_than_most(
    right: dict[str, str], words: str | None
) -> None:
    known = {"y": True, "n": False, "?": None}
    given = [
        Checked(f"p{p}", name, row(f"p{p}", name, -1.0 - t).record, known[letter])
        for t, (name, letters) in enumerate(right.items())
        for p, letter in enumerate(letters)
    ]
    found = rank_rows(given)  # type: ignore[arg-type]
    assert [line for line in found.warnings if " is right in " in line] == [words] * bool(words)
    counts = {name: (of.count("y"), len(of.replace("?", ""))) for name, of in right.items()}
    assert found.right == counts
    assert rank_rows([row(f"p{p}", "A", -1.0) for p in range(2)]).right == {}
