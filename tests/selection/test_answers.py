"""`mix_answers`: easy prompts whose chosen rows keep their answers alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.plugins import load_plugins
from lnat_plugins.selection import Selection
from lnat_plugins.selection.answers import answer_in, as_trained, without_thinking
from lnat_plugins.selection.formats import FORMATS
from lnat_plugins.selection.training_set import read_selection, write_training_set
from lnat_plugins.study.rows import _cut
from lnat_plugins.teacher_set import Candidates
from tests.selection.builders import FakeStudent, pool_of, row, spec_of


def think(answer: str, thought: str = "Hm.") -> str:
    return f"<think>\n{thought}\n</think>\n\nSo \\boxed{{{answer}}}"


@pytest.mark.parametrize(
    ("text", "prompt", "answer"),
    [
        ("<think>\nHm.\n</think>\n\nSeven. ", "", "Seven. "),
        ("Hm.\n</think>\nSeven.", "", "Seven."),
        ("<think>Hm.</think>", "", ""),  # nothing follows
        ("<think>Hm.</think>\n \n", "", ""),
        ("<think>\n\n</think>\n\nSeven.", "", ""),  # nothing to take away
        ("<think>Hm. Seven.", "", ""),  # never closed
        ("Seven.", "", ""),
        ("Hm.</think>Seven.", "What?\n<think>\n", ""),  # the prompt has opened it
        ("think\nHm.\nanswer\nSeven.", "", "Seven."),  # s1.1's bare words
    ],
)
def test_the_answer_is_what_follows_a_closed_thinking_part(
    text: str, prompt: str, answer: str
) -> None:
    assert answer_in(text, prompt) == answer


def pool() -> Candidates:
    """p0: all agree; p1: one of three pairs does; p2: none; p3: all agree, longer; p4: unknown."""
    answers = {"p0": "777", "p1": "778", "p2": "789", "p3": "777", "p4": None}
    long = {"p3": "A long thought. " * 3}
    return pool_of(
        *(
            row(
                prompt, teacher, -1.0 - i,
                text=think(given[i], long.get(prompt, "Hm.")) if given else f"Who knows, {teacher}",
            )
            for prompt, given in answers.items()
            for i, teacher in enumerate("ABC")
        )
    )  # fmt: skip


def chosen(share: float, rows: Candidates | None = None, **block: Any) -> Selection:
    rows = rows or pool()
    spec = spec_of(strategy="best", mix_answers=share, **block)
    found = load_plugins().select(rows, FakeStudent(), spec)
    assert found.problem() == ""
    return found


def prompts(selection: Selection) -> list[str]:
    return [selection.prompts[i] for i in selection.answers_only]


@pytest.mark.parametrize(
    ("share", "expected", "left"),
    [(0.05, [], 0), (0.2, ["p0"], 0), (0.4, ["p0", "p3"], 0), (0.6, ["p0", "p1", "p3"], 0),
     (0.8, ["p0", "p1", "p2", "p3"], 0), (1, ["p0", "p1", "p2", "p3"], 1)],
)  # fmt: skip
def test_the_easiest_prompts_first(share: float, expected: list[str], left: int) -> None:
    found = chosen(share)
    assert len(found.indices) == 5 and prompts(found) == expected
    assert found.answers_left_whole == ((12,) if left else ())
    assert found.figures()["lnat/answers_only"] == len(expected)


def test_nothing_else_of_the_choice_changes() -> None:
    found = chosen(0.4)
    plain = load_plugins().select(pool(), FakeStudent(), spec_of(strategy="best"))
    for name in ("indices", "weights", "scores", "reasons", "pool"):
        assert str(getattr(found, name)) == str(getattr(plain, name))
    assert "lnat/answers_only" not in plain.figures() and not plain.answers_only


def test_what_training_reads_is_asked_of_the_changed_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def notes(self: Any, rows: Any) -> dict[str, int]:
        seen.extend(one.text for one in rows)
        return {}

    monkeypatch.setattr(FakeStudent, "training_notes", notes)
    chosen(0.2)
    assert seen[0] == "So \\boxed{7}" and seen[1].startswith("<think>")


def test_a_turn_with_thinking_apart_loses_it() -> None:
    own = row("p", "A", text=think("7"))
    turn = {"content": "So \\boxed{7}", "reasoning_content": "Hm."}
    own = replace(own, response=replace(own.response, turn=turn, parts=("Hm.", "x"), steps=("a",)))
    found = without_thinking(own).response
    assert found.turn == {"content": "So \\boxed{7}"} and found.text == "So \\boxed{7}"
    assert (found.parts, found.steps) == (None, None)


@pytest.mark.parametrize("format", sorted({*FORMATS} - {"preference", "kto"}))
def test_every_format_writes_the_changed_text_and_says_so(tmp_path: Path, format: str) -> None:
    rows = replace(
        pool(), rows=tuple(
            replace(one, response=replace(one.response, correct=one.teacher == "A"))
            for one in pool().rows
        ),
    )  # fmt: skip
    found = chosen(0.4, rows)
    write_training_set(tmp_path / "set", rows, found, format=format)
    (data,) = (one for one in (tmp_path / "set" / "data").iterdir() if one.name.startswith("train"))
    if data.suffix == ".parquet":
        written = pq.read_table(data).to_pylist()
    else:
        written = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    assert [one["lnat_answer_only"] for one in written] == [True, False, False, True, False]
    thoughts = ["<think>" in json.dumps(one) for one in written]
    assert thoughts == [False, True, True, False, False]  # p4 has no thinking
    assert [one["lnat_score"] for one in written] == [-1.0] * 5
    card = (tmp_path / "set" / "README.md").read_text(encoding="utf-8")
    assert "2 of 5 rows are trained on by their answers alone. Their scores are of the" in card
    assert "`lnat_score` is that of the whole response, not of the text here" in card
    back = read_selection(tmp_path / "set")
    assert back.answers_only == found.answers_only == (0, 9)
    assert back.settings["mix_answers"] == 0.4


def test_labelled_rows_say_so_too(tmp_path: Path) -> None:
    rows = Candidates(
        tuple(
            replace(one, response=replace(one.response, correct={"A": True, "B": False}.get(t)))
            for one in pool().rows
            for t in [one.teacher]
        )
    )
    found = load_plugins().select(
        rows, FakeStudent(), spec_of(strategy="all", mix_answers=0.2, drop_duplicates=False)
    )  # fmt: skip
    write_training_set(tmp_path / "set", rows, found, format="kto")
    (data,) = (tmp_path / "set" / "data").iterdir()
    written = pq.read_table(data).to_pylist()
    assert [one["lnat_answer_only"] for one in written] == [True] * 2 + [False] * 8
    assert "<think>" not in json.dumps(written[0]) and "<think>" in json.dumps(written[2])


def test_pairs_are_refused(tmp_path: Path) -> None:
    found = chosen(0.4)
    with pytest.raises(ConfigError, match="pairs would set answers without thinking against"):
        write_training_set(tmp_path / "set", pool(), found, format="preference", rejected=found)


def test_without_the_key_a_set_has_no_such_column(tmp_path: Path) -> None:
    found = load_plugins().select(pool(), FakeStudent(), spec_of(strategy="best"))
    write_training_set(tmp_path / "set", pool(), found)
    table = pq.read_table(tmp_path / "set" / "data" / "train.parquet")
    assert "lnat_answer_only" not in table.column_names
    assert "answer_only" not in (tmp_path / "set" / "README.md").read_text(encoding="utf-8")


def test_a_row_that_is_drawn_twice_is_changed_twice(tmp_path: Path) -> None:
    found = replace(chosen(0.2), sequence=(0, 0, 3, 6, 9, 12))
    texts = [one.text for one in as_trained(found, pool())]
    assert texts[0] == texts[1] == "So \\boxed{7}" and texts[2].startswith("<think>")
    assert found.figures()["lnat/answers_only"] == 2


def test_a_studys_cut_keeps_what_is_left(tmp_path: Path) -> None:
    found = _cut(chosen(0.4), [0, 3])
    assert found.answers_only == (0,) and found.problem() == ""
    whole = chosen(1)
    (left,) = whole.answers_left_whole
    assert _cut(whole, [0, left]).answers_left_whole == (left,)
    without = _cut(whole, [0, 3])
    assert without.answers_left_whole == () and without.problem() == ""
