"""The example with a stand-in for the server."""

from __future__ import annotations

import pytest
from transformers import AutoModelForCausalLM

from lnat_plugins.files import bundled_student
from tests.helpers_sglang import FakeSglang, serving

from .scripts import run


def test_score_with_sglang(capsys: pytest.CaptureFixture[str]) -> None:
    student = str(bundled_student())
    fake = FakeSglang(AutoModelForCausalLM.from_pretrained(student), longest=4096)
    with serving(fake) as url:
        run("score_with_sglang.py", "--url", url, "--tokenizer", student, "--prompts", 1)
    printed = capsys.readouterr().out
    assert "slips has the best mean" in printed
    assert "read through: sglang input log-probabilities" in printed
