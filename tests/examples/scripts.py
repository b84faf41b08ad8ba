"""The scripts in examples/, run in this process as a user runs them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, *arguments: object) -> None:
    """`python examples/NAME ARGUMENTS`; what it prints is left to the test."""
    script = EXAMPLES / name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        runpy.run_path(str(script), run_name="__main__")
