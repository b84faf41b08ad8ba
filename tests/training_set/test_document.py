"""`selection.json`: the selection and its origin, there and back."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path

import pytest

from lnat_plugins import __version__
from lnat_plugins.errors import DataError
from lnat_plugins.hooks import trl_sft as stored
from lnat_plugins.selection import Selection
from lnat_plugins.selection.cards import Origin
from lnat_plugins.selection.training_set import read_selection, write_training_set

from .builders import ORIGIN, pool_of, selection_of


def test_the_selection_is_read_back(tmp_path: Path) -> None:
    pool = pool_of()
    selection = selection_of(pool, weights=(0.5, 1.5), ties=3)
    write_training_set(tmp_path / "chosen", pool, selection, origin=ORIGIN)
    for source in (tmp_path / "chosen", str(tmp_path / "chosen" / "selection.json")):
        found = read_selection(source)
        assert math.isnan(found.scores[2])
        assert found.as_dict() == selection.as_dict()


def test_the_selection_of_a_trainer_s_run_is_read_too(tmp_path: Path) -> None:
    pool = pool_of()
    (tmp_path / "run").mkdir()
    stored.keep(tmp_path / "run", selection_of(pool, (0,)), {})
    for source in (tmp_path / "run", tmp_path / "run" / "lnat_selection.json"):
        assert read_selection(source).indices == (0,)
    write_training_set(tmp_path / "chosen", pool, selection_of(pool), origin=ORIGIN)
    (tmp_path / "chosen" / "selection.json").rename(tmp_path / "run" / "selection.json")
    assert read_selection(tmp_path / "run").indices == (1, 2)


def test_it_tells_where_it_comes_from_and_what_it_took(tmp_path: Path) -> None:
    pool = pool_of()
    write_training_set(tmp_path / "chosen", pool, selection_of(pool), origin=ORIGIN)
    text = (tmp_path / "chosen" / "selection.json").read_text(encoding="utf-8")
    values = json.loads(text)
    assert values["lnat_plugins"] == __version__
    assert values["task"] == "sums"
    assert values["files"] == list(ORIGIN.files)
    assert values["scoring"] == dict(ORIGIN.scoring)
    assert values["versions"] == {"lnat_plugins": "0.0.9", "torch": "2.13"}
    assert values["form"] == "prompt_completion"
    assert values["chosen_by_teacher"] == {"QwQ": 1, "R1": 1}
    assert values["left_out"] == {"another response scored higher": {"QwQ": 1, "R1": 1}}
    assert "NaN" not in text
    assert Selection.from_dict(values).indices == (1, 2)
    assert text.count("\n") == len(values) + 2


def test_a_setting_that_json_lacks_is_written_as_text(tmp_path: Path) -> None:
    pool = pool_of()
    selection = selection_of(pool, settings={"since": date(2025, 1, 2)})
    write_training_set(tmp_path / "chosen", pool, selection, origin=Origin())
    assert read_selection(tmp_path / "chosen").settings == {"since": "2025-01-02"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"cannot be opened .*Name the folder that `lnat select` or a tr"),
        ("{", r"selection\.json: this is not a stored selection"),
        ("3", r"this is not a stored selection"),
        ("{}", r"this is not a stored selection"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "selection.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_selection(tmp_path)
