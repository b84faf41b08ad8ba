from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
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


@pytest.fixture(autouse=True)
def readable_log() -> Iterator[None]:
    """Once lm-eval's command has run in this process, its log no longer reaches pytest."""
    log = logging.getLogger("lm_eval")
    before = log.propagate, log.level
    log.propagate = True
    log.setLevel(logging.NOTSET)
    yield
    log.propagate = before[0]
    log.setLevel(before[1])
