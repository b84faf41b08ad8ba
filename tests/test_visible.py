"""What a terminal would obey is written out in all that is printed, and in no result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lnat_plugins.cli import main
from lnat_plugins.errors import ConfigError, visible
from lnat_plugins.formatting import join_blocks, markdown_table, split_list
from tests.helpers_samples import teacher_table, write_run

NAMES = ("red\x1b[31m", "two\nlines", "bidi\u202etxet", "pipe|d", "c1\x9b31m", "plain é 日本")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
        ("\x7f\x9b", r"\x7f\x9b"),
        ("a\u2028b\u202ec\u2066", r"a\u2028b\u202ec\u2066"),
        ("half \ud83d", r"half \ud83d"),
        ("naïve 日本\u3000\u00a0 \\n", "naïve 日本\u3000\u00a0 \\n"),
    ],
)
def test_control_characters_are_written_out(text: str, expected: str) -> None:
    assert visible(text) == expected
    assert visible("x\n", keep="\n") == "x\n"


def test_an_error_is_one_line_whatever_it_names() -> None:
    error = ConfigError("bad\x1b[2J", where="a\nb", found="x\ny", remedy="see\r")
    assert str(error) == r"a\nb: bad\x1b[2J (found 'x\ny'). See\r."


def test_an_error_has_an_end() -> None:
    long = "x" * 5_000
    assert len(str(ConfigError(long, where=long, found=long, remedy=long))) < 3_200


def test_a_cell_and_a_line_stay_one() -> None:
    table = markdown_table(["A\n"], [["x\ny|z"]], left=1)
    assert len(table.splitlines()) == 3
    assert r"x\ny\|z" in table
    assert join_blocks(["a\nb", "c"]) == "a\\nb\nc\n"


def test_names_between_commas() -> None:
    assert split_list(r"a\,b, c,d\e") == ["a,b", "c", r"d\e"]


def test_names_reach_no_terminal_and_stay_what_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {name: [-0.5 - 0.01 * i - 0.1 * p for p in range(12)] for i, name in enumerate(NAMES)}
    path = write_run(tmp_path / "bad\x1b[31m\nname", teacher_table(values))
    clean = {f"teacher {i}": one for i, one in enumerate(values.values())}
    other = write_run(tmp_path / "clean", teacher_table(clean))
    shapes: list[int] = []
    few = ["--bootstrap_iters", "50"]
    for one, out in ((path, tmp_path / "a"), (other, tmp_path / "b")):
        for more in ([], ["--brief"], ["--metric", "all"]):
            assert main(["rank", str(one), "--output_path", str(out), *few, *more]) == 0
            printed = capsys.readouterr()
            assert visible(printed.out, keep="\n") == printed.out
            assert visible(printed.err, keep="\n") == printed.err
            assert all(line.startswith("lnat: ") for line in printed.err.splitlines())
            shapes.append(len(printed.out.splitlines()))
    assert shapes[:3] == shapes[3:]
    teachers = json.loads((tmp_path / "a" / "ranking.json").read_text())["rankings"][0]["ranking"]
    assert {one["teacher"] for one in teachers["teachers"]} == set(NAMES)
    text = (tmp_path / "a" / "ranking.md").read_text()
    assert visible(text, keep="\n") == text


def test_a_teacher_with_a_comma_can_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = teacher_table({"a,b": [-0.5, -0.6], "c": [-0.7, -0.8], "d": [-0.9, -1.0]})
    path = write_run(tmp_path, table)
    assert main(["rank", str(path), "--brief", "--teachers", r"a\,b,c"]) == 0
    out = capsys.readouterr().out
    assert "a,b" in out and "|d" not in out
    assert main(["rank", str(path), "--brief", "--teachers", "a,b"]) == 2
