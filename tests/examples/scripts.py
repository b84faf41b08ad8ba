"""The scripts in examples/, run in this process as a user runs them."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, *arguments: object) -> None:
    """`python examples/NAME ARGUMENTS`; what it prints is left to the test."""
    script = EXAMPLES / name
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(script.parent))  # as Python does
        patch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        runpy.run_path(str(script), run_name="__main__")


def bundled(prompts: int) -> list[dict[str, Any]]:
    """The bundled set's rows for the first prompts, eight each."""
    path = EXAMPLES.parent / "tasks" / "local_naturalness" / "teachers.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[: 8 * prompts]]
