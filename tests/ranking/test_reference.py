"""A known order, from a file or a line of text; every fault is one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from lnat_plugins.errors import ConfigError
from lnat_plugins.ranking import Reference, read_reference

ABC = ("A", "B", "C")


def test_a_ranking_with_ties() -> None:
    found = read_reference(" A > C = B", ABC)
    assert found.values == {"A": 0, "B": -1, "C": -1}
    assert not found.numeric
    assert found.name == " A > C = B"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("known.json", '{"B": 0.5, "A": 1, "C": -2e-1}'),
        ("known.yaml", "B: 0.5\nA: 1\nC: -0.2\n"),
        ("no_suffix", "{A: 1, B: 0.5, C: -0.2}"),
    ],
)
def test_a_file_of_numbers(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_reference(tmp_path / name, ABC)
    assert found == Reference(name, {"A": 1.0, "B": 0.5, "C": -0.2}, True)
    assert read_reference(str(tmp_path / name), ABC) == found


def test_merged_mappings_are_no_teachers(tmp_path: Path) -> None:
    path = tmp_path / "known.yaml"
    path.write_text("{<<: {A: 1, B: 0.5}, <<: {C: -0.2}}\n", encoding="utf-8")
    assert read_reference(path, ABC).values == {"A": 1.0, "B": 0.5, "C": -0.2}


def test_teachers_that_are_left_out_may_have_a_place() -> None:
    assert read_reference("A>D>B", ("A", "B"), known=["C", "D"]).values == {"A": 0, "B": -2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A>B", r"--reference A>B: the reference has no 'C'. Give every teacher"),
        ("A>B>C>QwQ", "the reference names the unknown 'QwQ'. Known: A, B, C"),
        ("A>D", "has no 'B', 'C' and names the unknown 'D'"),
        ("A>B>C>A", "teacher 'A' stands twice"),
        ("A>>B>C", "a place of the ranking is empty"),
        ("A=", "a place of the ranking is empty"),
        ("scores.json", "neither a file nor a ranking .*scores.json.*Give a JSON or YAML file"),
        ("A" * 5000, "neither a file nor a ranking"),
        ("\0", "neither a file nor a ranking"),
    ],
)
def test_a_wrong_text_is_told(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_reference(text, ABC)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"A": 1, "B": "high", "C": 2}', "value of 'B' is not a number .found 'high'"),
        ('{"A": true, "B": 1, "C": 2}', "value of 'A' is not a number"),
        ('{"A": NaN, "B": 1, "C": 2}', "value of 'A' is not a number"),
        ("A: .inf\nB: 1\nC: 2\n", "value of 'A' is not a number"),
        ('{"A": 1, "B": 1, "A": 2}', "teacher 'A' stands twice"),
        ("A: 1\nB: 1\nA: 2\nC: 3\n", "teacher 'A' stands twice"),
        ("{A: 1, B: 1, 'A': 2, C: 3}", "teacher 'A' stands twice"),
        ("[1, 2]", "maps each teacher to a number"),
        ('{"A": 1' + "0" * 400 + ', "B": 1, "C": 2}', "value of 'A' is not a number"),
        ("A: 1\nB: : 2\n", "not valid YAML"),
        ("just text", "must be a mapping"),
        ('{"A": 1, "B": 2}', "has no 'C'"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "known").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        read_reference(tmp_path / "known", ABC)
    assert "known" in str(caught.value)


def test_one_teacher_has_no_order() -> None:
    with pytest.raises(ConfigError, match="one teacher only: there is no order to hold against"):
        read_reference("A=A", ("A",))
