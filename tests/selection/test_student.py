"""Stored scores as candidates and a student: the prompts are those that the student was given."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.scoring.samples import ScoredSet, read_scored_set
from lnat_plugins.selection import ScoredStudent, candidates_of_scores, provenance_of_scores
from tests import helpers_students
from tests.harness.lab import evaluate, hf, rows, save, write_set
from tests.helpers_samples import make_record, samples_line, write_lines
from tests.selection.builders import four_rows

TURNS = [
    {"role": "user", "content": "What is 3 + 4?"},
    {"role": "assistant", "content": "Seven. "},
    {"role": "user", "content": "And 4 + 4?\n"},
]
PLAIN = {"chat_template": None, "system_instruction": None, "target_delimiter": "\n\n"}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return helpers_students.tokenizer()


@pytest.mark.parametrize("system", [None, "Think first."])
@pytest.mark.parametrize("template", [False, True])
def test_a_prompt_is_what_lm_eval_sent(
    tmp_path: Path,
    tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
    template: bool,
    system: str | None,
) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    answered = [row | {"prompt": TURNS, "year": 3} for row in rows(prompts=2)]
    write_set(tmp_path, answered, target_delimiter=" →")
    model = hf(helpers_students.student("llama"), tokenizer)
    options = {"apply_chat_template": template, "system_instruction": system}
    path = save(evaluate(tmp_path, model, **options), tmp_path / "out")
    found = read_scored_set([path])
    pool, records = candidates_of_scores(found), [row.record for row in found.rows]
    assert pool.plain is not template
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    sent = {line["doc"]["prompt_id"]: line["arguments"]["gen_args_0"]["arg_0"] for line in lines}
    for row, expected, record in zip(pool.rows, answered, records, strict=True):
        turns = [dict(turn) for turn in row.messages]
        if template:
            rendered = tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
            assert rendered == sent[row.prompt_id]
        else:
            assert turns == [{"role": "user", "content": sent[row.prompt_id]}]
        assert (row.text, row.teacher) == (expected["response"], expected["teacher"])
        assert row.response.extra == {"year": 3}
        assert record.teacher == row.teacher


def scored(tmp_path: Path, **settings: Any) -> ScoredSet:
    """One prompt with three teachers and two samples, one of them with steps."""
    records = [make_record(name, sample=i) for i, name in enumerate(("QwQ", "R1", "QwQ", "DSQ"))]
    settings = {"windows": ["4", "global"]} | settings
    records = [dataclasses.replace(one, settings=settings) for one in records]
    line = samples_line("p0", records, correct=None)
    line["doc"]["responses"][1]["steps"] = ["x" * 5, "x" * 15]
    return read_scored_set([write_lines(tmp_path / "x.jsonl", [line])])


def test_rows_keep_all_they_carry(tmp_path: Path) -> None:
    pool = candidates_of_scores(scored(tmp_path, **PLAIN))
    assert [row.index for row in pool.rows] == [0, 1, 2, 3]
    assert [row.response.sample for row in pool.rows] == [0, 1, 2, 3]
    assert pool.rows[1].response.steps == ("x" * 5, "x" * 15)
    assert pool.rows[1].response.correct is None
    assert pool.rows[1].where == f"{tmp_path / 'x.jsonl'} line 1, prompt 'p0', teacher 'R1'"


def test_only_some_teachers(tmp_path: Path) -> None:
    found = scored(tmp_path, **PLAIN)
    two = found.only(["R1", "DSQ"])
    pool, records = candidates_of_scores(two), [row.record for row in two.rows]
    assert pool.teachers == ("R1", "DSQ")
    assert [row.index for row in pool.rows] == [0, 1]
    assert [record.sample for record in records] == [1, 3]
    with pytest.raises(ConfigError, match=r"unknown teacher 'r1'\. Did you mean 'R1'"):
        found.only(["r1"])


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_scores_that_do_not_say_how_prompts_were_rendered(tmp_path: Path, name: str) -> None:
    known = {key: value for key, value in PLAIN.items() if key != name}
    with pytest.raises(DataError, match=rf"x\.jsonl: the scores do not say .*no {name} among"):
        candidates_of_scores(scored(tmp_path, **known))


def test_the_student_answers_from_its_records(tmp_path: Path, tokenizer: Any) -> None:
    found = scored(tmp_path, **PLAIN)
    pool, records = candidates_of_scores(found), [row.record for row in found.rows]
    loaded: list[str] = []

    def load(name: str) -> Any:
        loaded.append(name)
        return tokenizer

    student = ScoredStudent("org/student", records, pool.plain, load=load)
    some = [pool.rows[3], pool.rows[1]]
    assert student.score(some) == [records[3], records[1]]
    assert student.response_tokens(some) == [20, 20]
    records[1] = dataclasses.replace(records[1], tag_tokens=(0, 3))
    assert student.response_tokens(some) == [20, 23]  # training reads the tags too
    assert loaded == []
    text = "What?\n\n" + "x" * 20 + "<|end|>"
    assert student.training_tokens(some) == [len(tokenizer(text).input_ids)] * 2
    student.training_tokens(some)
    assert loaded == ["org/student"]
    ScoredStudent("org/student", records, pool.plain, "mine", load).training_tokens(some)
    assert loaded == ["org/student", "mine"]


def test_what_a_row_gives_to_the_template_is_counted(tokenizer: Any) -> None:
    reader = copy.copy(tokenizer)
    reader.chat_template = (
        "{{ hint or '' }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    )
    hint = "Take care. " * 9
    some, none = (
        ScoredStudent("x", [], pool.plain, load=lambda _: reader).training_tokens(pool.rows)
        for pool in (four_rows([{"chat_template_kwargs": {"hint": hint}}, {}]), four_rows([{}, {}]))
    )
    more = len(reader(hint, add_special_tokens=False).input_ids)
    assert [a - b for a, b in zip(some, none, strict=True)] == [more, 0]


def test_the_provenance_holds_all_versions_that_scored(tmp_path: Path) -> None:
    found = scored(tmp_path, **PLAIN)
    first = dataclasses.replace(found.rows[0].record, versions={"torch": "2.12", "trl": "1"})
    one = dataclasses.replace(found.rows[0], record=first)
    provenance = provenance_of_scores(dataclasses.replace(found, rows=(one, *found.rows[1:])))
    assert provenance.versions == {"torch": "2.12, 2.13", "trl": "1", "lnat_plugins": "0.1.0"}
    assert (provenance.task, provenance.files) == ("unknown", (str(tmp_path / "x.jsonl"),))
    assert provenance.scoring["settings"]["target_delimiter"] == "\n\n"
    assert provenance.scoring["engine"] == ["packed"]
