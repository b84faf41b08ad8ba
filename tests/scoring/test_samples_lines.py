"""A samples file that several processes read: the same rows, and the same first error."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins import processes
from lnat_plugins.errors import DataError
from lnat_plugins.scoring import samples, samples_files, samples_lines
from lnat_plugins.scoring.samples import ScoredSet, read_scored_set
from lnat_plugins.scoring.samples_files import Part, parts_of, read_lines
from lnat_plugins.teacher_set.degenerate import degenerate_kinds
from tests.helpers_samples import record_of, samples_line, teacher_table, write_lines, write_run

TABLE = teacher_table({"QwQ": [-0.1 * i for i in range(40)], "R1": [-2.0] * 40})


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is large, and two processes read it."""
    monkeypatch.setattr(samples_files, "LARGE", 0)
    monkeypatch.setattr(samples_files, "_PART", 5_000)
    monkeypatch.setattr(processes, "available_cores", lambda: 2)


def told(scored: ScoredSet) -> list[Any]:
    return [scored.rows, [row.where for row in scored.rows], scored.prompts, scored.windows]


def error_of(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_scored_set([path])
    return str(caught.value)


def test_the_rows_are_those_of_one_process(
    tmp_path: Path, in_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_run(tmp_path, TABLE)
    with monkeypatch.context() as patch:
        patch.setattr(samples_files, "LARGE", 1 << 40)
        alone = read_scored_set([path])
    assert len(parts_of(path)) > 5

    def not_here(path: Path, part: Part | None = None) -> Iterator[object]:
        raise AssertionError("this process does not read itself")

    monkeypatch.setattr(samples_lines, "_prompts_of", not_here)
    found = read_scored_set([path])
    assert told(found) == told(alone)
    assert len(found.rows) == 80


def test_what_is_equal_in_a_part_is_kept_once(tmp_path: Path, in_parts: None) -> None:
    path = write_run(tmp_path, TABLE)
    records = [row.record for row in read_scored_set([path]).rows]
    for name in ("settings", "versions", "student", "whole"):
        assert len({id(getattr(record, name)) for record in records}) <= len(parts_of(path))
    assert len({id(record.teacher) for record in records}) <= 2 * len(parts_of(path))


LINE = samples_line("p40", [record_of("QwQ", -1.0), record_of("R1", -1.0)])
BAD: dict[str, Any] = {
    "a record of another teacher": {**LINE, "resps": LINE["resps"][::-1]},
    "no record for a response": {**LINE, "resps": LINE["resps"][:1]},
    "not a line of ours": {"resps": []},
    "another text for a prompt that was read": {
        **LINE, "doc": {**LINE["doc"], "prompt_id": "p0", "prompt": "Another?"},
    },
    "other settings": samples_line("p40", [record_of("QwQ", -1.0, settings_hash="f" * 12)]),
}  # fmt: skip


NEXT = dict(zip(BAD, [*BAD][1:] + [*BAD][:1], strict=True))


@pytest.mark.parametrize(("first", "second"), [*dict.fromkeys(BAD).items(), *NEXT.items()])
def test_the_first_error_is_that_of_one_process(
    tmp_path: Path, in_parts: None, monkeypatch: pytest.MonkeyPatch, first: str, second: str | None
) -> None:
    lines = [samples_line(prompt_id, records) for prompt_id, records in TABLE.items()]
    lines[30:30] = [BAD[first]] if second is None else [BAD[first], BAD[second]]
    path = write_lines(tmp_path / "x.jsonl", lines)
    found = error_of(path)
    monkeypatch.setattr(samples_files, "LARGE", 1 << 40)
    assert found == error_of(path)


@pytest.mark.parametrize(
    "content", [b"\n" * 9_000, b"{}\n" * 9_000, b"\xff\n" * 9_000, b'{"doc"\n' * 9_000]
)
def test_files_without_a_line_of_ours(
    tmp_path: Path, in_parts: None, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    found = error_of(path)
    monkeypatch.setattr(samples_files, "LARGE", 1 << 40)
    assert found == error_of(path)


def test_processes_that_die_change_nothing(
    tmp_path: Path, in_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_run(tmp_path, TABLE)
    expected = told(read_scored_set([path]))
    load, answers = pickle.load, iter(range(1_000))

    def cut(file: Any) -> Any:
        if next(answers) % 3 == 2:
            raise pickle.UnpicklingError("pickle data was truncated")
        return load(file)

    monkeypatch.setattr(processes.pickle, "load", cut)
    assert told(read_scored_set([path])) == expected


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_parts_are_whole_lines(
    tmp_path: Path, in_parts: None, monkeypatch: pytest.MonkeyPatch, seed: int, end: bytes
) -> None:
    generator = random.Random(seed)
    monkeypatch.setattr(samples_files, "_PART", generator.randint(1, 300))
    blank = [b"", b"  ", b"\r"]
    made = [
        b'{"doc": 1, "resps": "%s"}' % (b"x" * generator.randint(0, 200))
        if generator.random() < 0.7
        else generator.choice(blank)
        for _ in range(50)
    ] + [b'{"doc": 2, "resps": "\xe2\x80\xa8"}']
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n".join(made) + end)
    parts = parts_of(path)
    assert len(parts) > 1
    assert [line for part in parts for line in read_lines(path, part)] == [*read_lines(path)]


def test_what_is_no_large_file_has_no_parts(tmp_path: Path) -> None:
    assert parts_of(write_run(tmp_path, TABLE)) == []
    assert parts_of(tmp_path / "missing.jsonl") == parts_of(tmp_path) == []


# degenerate responses


def test_degenerate_responses_are_counted_by_several_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = read_scored_set([write_run(tmp_path, TABLE)])
    texts = [row.text for row in scored.rows]
    assert {degenerate_kinds(text) for text in texts} == {("answer only",)}
    alone = scored.degenerate
    assert alone["QwQ"].kinds["answer only"] == 40
    monkeypatch.setattr(samples, "_MANY_ROWS", 80)
    monkeypatch.setattr(samples, "_BATCH", 7)
    monkeypatch.setattr(processes, "available_cores", lambda: 2)
    again = read_scored_set([tmp_path])

    def not_here(*args: object) -> Sequence[str]:
        raise AssertionError("this process does not look itself")

    monkeypatch.setattr(samples, "degenerate_kinds", not_here)
    assert again.degenerate == alone
    assert again.only(["R1"]).rows == scored.only(["R1"]).rows
    with pytest.raises(AssertionError, match="itself"):
        print(again.only(["R1"]).degenerate)  # too few, so that one process does it
