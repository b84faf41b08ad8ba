"""The bar goes by characters and tells tokens."""

from __future__ import annotations

import re

import pytest

from lnat_plugins.scoring.parallel import Progress


def shown(text: str) -> tuple[str, str]:
    found = re.findall(r"([\d.k]+)/([\d.k]+) \[", text)
    return found[-1]


def test_tokens_read_and_all_that_are_to_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    read = [70]
    with Progress(1000, "Scoring", lambda: read[0], disable=False) as progress:
        read[0] += 500
        progress.done(250, 0)
        assert shown_after(progress, capsys) == ("500", "2.00k")
        read[0] += 400
        progress.done(250, 250)
        assert shown_after(progress, capsys) == ("900", "1.80k")


def test_what_others_took_counts(capsys: pytest.CaptureFixture[str]) -> None:
    read = [0]
    with Progress(1000, "Scoring", lambda: read[0], disable=False) as progress:
        read[0] = 200
        progress.done(100, 600)
        assert shown_after(progress, capsys) == ("1.40k", "2.00k")


def test_nothing_read_is_no_error_and_disabled_is_silent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress(10, "Scoring", lambda: 0, disable=True) as progress:
        progress.done(10, 0)
    with Progress(0, "Scoring", lambda: 0, disable=True) as progress:
        progress.done(0, 0)
    assert capsys.readouterr().err == ""


def shown_after(progress: Progress, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    progress._bar.refresh()
    return shown(capsys.readouterr().err)
