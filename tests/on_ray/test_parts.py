"""What parts hold, which of several lines of one prompt counts, and the samples file."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.on_ray import parts
from lnat_plugins.on_ray.parts import SCHEMA, next_folder, read_state, write_samples

Row = tuple[int, str, str, bool]


def write_part(folder: Path, name: str, rows: list[Row], run: int = 1) -> Path:
    """A part of that run, with these numbers, lines, reasons and whether they are final."""
    found = [
        {"number": n, "id": f"p{n}", "line": line, "reason": reason, "final": final}
        for n, line, reason, final in rows
    ]
    path = folder / f"{run:05d}" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(found, schema=SCHEMA), path)
    return path


def text_of(folder: Path, n_prompts: int) -> list[str]:
    """The lines of the samples file."""
    out = folder / "samples.jsonl"
    write_samples(folder / "parts", read_state(folder / "parts", n_prompts), out)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    return out.read_text(encoding="utf-8").split("\n")


def test_lines_come_in_the_sets_order_whatever_that_of_the_parts(tmp_path: Path) -> None:
    names = [json.dumps({"of": n, "text": "é…" * n}, ensure_ascii=False) for n in range(40)]
    places = [*range(20, 40), *range(20)]
    for i in range(0, 40, 5):
        rows = [(n, names[n], "", True) for n in places[i : i + 5]]
        write_part(tmp_path / "parts", f"{9 - i // 5}", rows)
    assert text_of(tmp_path, 40) == [*names, ""]


def test_a_final_line_counts_before_others_and_a_line_before_a_reason(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    write_part(folder, "c", [(0, "final", "", True), (1, "", "first", False)], run=1)
    write_part(folder, "b", [(0, "later", "", False), (1, "", "last", False)], run=3)
    write_part(folder, "a", [(2, "may improve", "", False), (3, "", "why", False)], run=2)
    write_part(folder, "d", [(2, "", "out of luck", False), (0, "again", "", True)], run=4)
    write_part(folder, "e", [(4, "", "why", False)], run=5)
    state = read_state(folder, 6)
    assert state.done_N.tolist() == [True, False, False, False, False, False]
    assert (state.scored, state.failed) == (2, {"why": 2, "last": 1})
    assert text_of(tmp_path, 6) == ["final", "may improve", ""]


def test_a_part_that_was_cut_short_is_removed_and_its_prompts_are_asked(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    write_part(folder, "a", [(0, "one", "", True)])
    path = write_part(folder, "b", [(1, "two", "", True)])
    path.write_bytes(path.read_bytes()[:-9])
    (folder / "c.parquet").touch()
    assert read_state(folder, 2).of_N.tolist() == [3, 0]
    assert [one.name for one in folder.rglob("*.parquet")] == ["a.parquet"]


def test_each_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    assert next_folder(tmp_path / "parts").name == "00001"
    for name in ("00009", "00010", "other"):
        (tmp_path / name).mkdir()
    assert next_folder(tmp_path).name == "00011"


def test_nothing_is_there_before_the_first_part(tmp_path: Path) -> None:
    state = read_state(tmp_path / "parts", 3)
    assert (state.scored, state.failed, state.done_N.any()) == (0, {}, False)


def test_a_samples_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_part(tmp_path / "parts", "a", [(0, "one", "", True)])
    (tmp_path / "samples.jsonl").write_text("old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts.os, "fsync", full)
    with pytest.raises(ConfigError, match=r"cannot be written \(found 'No space left"):
        text_of(tmp_path, 1)
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["samples.jsonl"]
    assert (tmp_path / "samples.jsonl").read_text() == "old"
