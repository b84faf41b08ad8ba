from __future__ import annotations

from typing import Any

import pytest

from tests import helpers_students


@pytest.fixture(scope="package")
def tokenizer() -> Any:
    return helpers_students.tokenizer()


@pytest.fixture(scope="package")
def llama() -> Any:
    return helpers_students.student("llama")
