"""The example with a stand-in for vLLM; `make vllm` asks the real one."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from lnat_plugins.files import bundled_student
from tests.helpers_vllm import FakeLLM, install

from .scripts import run


def test_score_with_vllm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded: list[dict[str, Any]] = []

    def load(**options: Any) -> FakeLLM:
        loaded.append(options)
        model = AutoModelForCausalLM.from_pretrained(options["model"], dtype="float32")
        tokenizer = AutoTokenizer.from_pretrained(options["model"])
        return FakeLLM(model, tokenizer, max_model_len=4096)

    student = str(bundled_student())
    monkeypatch.setattr(install(monkeypatch), "LLM", load)
    run("score_with_vllm.py", "--student", student, "--gpus", 2, "--prompts", 1)
    assert loaded == [{"model": student, "tensor_parallel_size": 2}]
    printed = capsys.readouterr().out
    assert "slips has the best mean" in printed
    assert "read through: vllm token ids" in printed
