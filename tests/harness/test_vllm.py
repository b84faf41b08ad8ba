"""lm-eval's own `vllm` model: its `vllm.LLM` reads the runs of our plan, where it has one."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from lm_eval.api.model import TemplateLM

from lnat_plugins.harness.loglikelihood import LoglikelihoodBackend
from lnat_plugins.harness.requests import choose_backend
from lnat_plugins.scoring.served import RequestBackend
from tests.harness.lab import evaluate, hf, records, rows, write_set
from tests.helpers_students import assert_near
from tests.helpers_vllm import FakeLLM, install

BLOCK = {"windows": ["0", "4", "global", "4/8"]}


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Any:
    """lm-eval's module of that model, imported as if vLLM were there."""
    install(monkeypatch)
    for name, values in {
        "vllm.lora": {}, "vllm.lora.request": {"LoRARequest": object}, "vllm.renderers": {},
        "vllm.renderers.hf": {"resolve_chat_template": None},
        "vllm.tokenizers": {"get_tokenizer": None},
    }.items():  # fmt: skip
        part = ModuleType(name)
        vars(part).update(values)
        monkeypatch.setitem(sys.modules, name, part)
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.32.0" if name == "vllm" else version(name)
    )
    # The registry takes a name once, and keeps it.
    monkeypatch.setattr("lm_eval.api.registry.register_model", lambda *_: lambda kind: kind)
    name = "lm_eval.models.vllm_causallms"
    monkeypatch.delitem(sys.modules, name, raising=False)
    found = importlib.import_module(name)
    monkeypatch.setitem(sys.modules, name, found)
    return found


def by_harness(kind: type[Any], llm: Any, tokenizer: Any) -> Any:
    """A model of that class, without the loading of `__init__`."""
    lm = kind.__new__(kind)
    TemplateLM.__init__(lm)
    lm.tokenizer, lm.lora_request, lm.batch_size = tokenizer, None, "auto"
    lm.data_parallel_size, lm._max_length = 1, 512
    lm.enable_thinking, lm.chat_template_args, lm.hf_chat_template = False, {}, None
    lm.add_bos_token = None
    if llm is not None:
        lm.model = llm
    return lm


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_set(tmp_path, rows(prompts=2), block=BLOCK)
    return tmp_path


def test_its_records_are_those_of_hf(
    folder: Path, harness: Any, model: Any, tokenizer: Any
) -> None:
    lm = by_harness(harness.VLLM, FakeLLM(model, tokenizer), tokenizer)
    found = records(evaluate(folder, lm))
    known = records(evaluate(folder, hf(model, tokenizer)))
    assert found.keys() == known.keys()
    for key, record in found.items():
        assert record["path"] == "vllm token ids"
        assert record["undefined"] == known[key]["undefined"]
        for window in BLOCK["windows"]:
            assert_near(record["sums"][window], known[key]["sums"][window], 1e-5)


def test_without_an_engine_of_its_own_it_answers_through_the_harness(
    harness: Any, model: Any, tokenizer: Any
) -> None:
    """With `data_parallel_size` the engines live in Ray's processes."""

    class OwnRequests(harness.VLLM):  # type: ignore[misc, name-defined]
        def _model_generate(self, *args: Any, **options: Any) -> Any:
            raise AssertionError

    llm = FakeLLM(model, tokenizer)
    plain = choose_backend(by_harness(harness.VLLM, llm, tokenizer))
    parallel = choose_backend(by_harness(harness.VLLM, None, tokenizer))
    own = choose_backend(by_harness(OwnRequests, llm, tokenizer))
    kinds = (type(plain), type(parallel), type(own))
    assert kinds == (RequestBackend, LoglikelihoodBackend, LoglikelihoodBackend)


def test_the_harness_asks_it_alike(folder: Path, harness: Any, model: Any, tokenizer: Any) -> None:
    """What lm-eval's own requests give, as with `data_parallel_size`."""

    class OwnRequests(harness.VLLM):  # type: ignore[misc, name-defined]
        def _model_generate(self, requests: Any, generate: bool = False, **_: Any) -> Any:
            params = sys.modules["vllm"].SamplingParams(
                temperature=0.0, max_tokens=1, detokenize=False, prompt_logprobs=0
            )
            prompts = [{"prompt_token_ids": one} for one in requests]
            return self.model.generate(prompts, [params] * len(prompts), use_tqdm=False)

    lm = by_harness(OwnRequests, FakeLLM(model, tokenizer), tokenizer)
    found = records(evaluate(folder, lm))
    known = records(evaluate(folder, hf(model, tokenizer)))
    for key, record in found.items():
        assert record["path"] == "loglikelihood"
        for window in ("0", "4", "4/8"):
            assert_near(record["sums"][window], known[key]["sums"][window], 1e-4)
