"""Units of several versions: counted, said, and none is done again for them."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.study.jobs import run_units
from lnat_plugins.study.results import read_results
from lnat_plugins.study.run import StudyRun
from lnat_plugins.study.units import UNIT, write_done
from lnat_plugins.study.versions import (
    VERSIONS,
    VersionGroup,
    by_versions,
    in_words,
    installed,
    warning,
)

from .lab import finished

OLD = {"torch": "2.7", "trl": "1.9", "steps": "sentence@1"}
NEW = OLD | {"torch": "2.8"}


def test_what_is_installed() -> None:
    found = installed("sentence")
    assert {"lnat-plugins", "lm-eval", "torch", "transformers", "trl"} < found.keys()
    assert found["steps"].startswith("sentence@")
    assert installed("tokens:64")["steps"] == "tokens:64"


def test_units_by_versions() -> None:
    done: list[tuple[str, dict[str, Any]]] = [
        ("a", {VERSIONS: OLD}), ("b", {}), ("c", {VERSIONS: dict(reversed(OLD.items()))}),
        ("d", {VERSIONS: NEW}),
    ]  # fmt: skip
    groups = by_versions(done)
    assert groups == (
        VersionGroup(OLD, ("a", "c")), VersionGroup(None, ("b",)), VersionGroup(NEW, ("d",)),
    )  # fmt: skip
    assert in_words(groups) == (
        "Units of 3 versions: 2 by torch 2.7; 1 do not say by which; 1 by torch 2.8."
    )
    assert in_words(groups[:1]) == in_words(groups[1:2]) == in_words(()) == ""
    assert in_words(groups[1:]) == (
        "Units of 2 versions: 1 do not say by which; 1 by steps sentence@1, torch 2.8, trl 1.9."
    )
    assert warning(groups, NEW) == (
        "2 units are done under other versions and kept: 2 under torch 2.7 (a, c). The others are "
        "done under torch 2.8. To have all alike, remove the folders of these units"
    )
    assert warning(groups[1:], NEW) == ""
    many = VersionGroup(OLD, ("a", "b", "c", "d"))
    assert "4 under torch 2.7 (a, b, c, …)" in warning([many], NEW)


@pytest.fixture
def study(tmp_path: Path) -> StudyRun:
    """Of a study that is done: one unit by old versions, the others do not say."""
    run = finished(tmp_path)
    unit = run.units[1]
    write_done(run.folder_of(unit), run._key(unit), {**(run.done(unit) or {}), VERSIONS: OLD})
    return run


def test_a_study_counts_them(study: StudyRun) -> None:
    result = read_results(study, iters=100)
    rest = len(study.units) - 1
    assert result.missing == ()
    assert json.loads(result.to_json())["versions"] == [
        {"versions": None, "units": rest}, {"versions": OLD, "units": 1},
    ]  # fmt: skip
    assert f"Units of 2 versions: {rest} do not say by which; 1 by steps sentence@1, torch 2.7" in (
        result.to_markdown()
    )


def test_more_units_are_done_with_one_warning(
    study: StudyRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    again = study.units[2:4]
    for unit in again:
        (study.folder_of(unit) / UNIT).unlink()
    monkeypatch.setattr(StudyRun, "_train", lambda self, unit: {"values": {"sums": {"0": 1.0}}})
    with caplog.at_level(logging.WARNING):
        assert [unit for unit, _ in run_units(study, again, 1)] == again
    (said,) = [one.message for one in caplog.records if "other versions" in one.message]
    assert said.startswith("study small: 1 unit is done under other versions and kept: 1 under ")
    assert study.units[1].name in said and "torch 2.7" in said
    assert all((study.done(unit) or {})[VERSIONS] == installed("sentence") for unit in again)
    assert study.done(study.units[1]) is not None
    caplog.clear()
    assert [*run_units(study, [], 1)] == []
    assert not caplog.records
