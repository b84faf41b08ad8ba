from __future__ import annotations

import sys
from typing import Any

import pytest

from tests import helpers_students


@pytest.fixture(scope="package")
def tokenizer() -> Any:
    return helpers_students.tokenizer()


@pytest.fixture(scope="package")
def model() -> Any:
    return helpers_students.student("llama")


@pytest.fixture(autouse=True)
def no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest's own arguments are none of lm-eval's."""
    monkeypatch.setattr(sys, "argv", ["pytest"])
