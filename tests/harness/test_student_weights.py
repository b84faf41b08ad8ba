"""The fingerprint of a student: it differs where a weight does, and not where the files lie."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from peft import LoraConfig, get_peft_model

from lnat_plugins.errors import StudentError
from lnat_plugins.harness.student_weights import (
    _WORDS,
    described,
    mixed,
    student_fingerprint,
    weights_digest,
)
from tests import helpers_students

from .lab import hf

Change = Callable[[Any], None]


@pytest.fixture
def student() -> Any:
    return helpers_students.student("llama")


def one_value(model: Any) -> None:
    model.model.layers[1].mlp.down_proj.weight[3, 5] += 1e-4


def smallest_step(model: Any) -> None:
    """One bit of one value."""
    model.model.layers[0].self_attn.q_proj.weight.view(torch.int32)[0, 0] ^= 1


def mlp_matrices(model: Any) -> None:
    for layer in model.model.layers:
        layer.mlp.gate_proj.weight.mul_(1.01)


def embedding_rows(model: Any) -> None:
    model.model.embed_tokens.weight[[17, 230]] += 0.1


def scattered_values(model: Any) -> None:
    model.lm_head.weight.view(-1)[7:4000:103] *= 1.1


def two_signs(model: Any) -> None:
    model.model.norm.weight[[3, 9]] *= -1


def swapped_rows(model: Any) -> None:
    model.lm_head.weight[[1, 2]] = model.lm_head.weight[[2, 1]].clone()


def swapped_layers(model: Any) -> None:
    model.model.layers = torch.nn.ModuleList(reversed(model.model.layers))


def negative_zero(model: Any) -> None:
    model.model.norm.weight[0] = 0.0
    model.model.norm.weight[0] *= -1


def buffer(model: Any) -> None:
    model.model.rotary_emb.inv_freq[0] *= 1.5


def precision(model: Any) -> None:
    model.bfloat16()


CHANGES = [
    one_value, smallest_step, mlp_matrices, embedding_rows, scattered_values, two_signs,
    swapped_rows, swapped_layers, buffer, precision,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_another_weight_is_another_student(change: Change, student: Any, tokenizer: Any) -> None:
    before = weights_digest(student), student_fingerprint(hf(student, tokenizer))
    with torch.no_grad():
        change(student)
    after = weights_digest(student), student_fingerprint(hf(student, tokenizer))
    assert before[0] != after[0] and before[1] != after[1]


def test_zeros_of_either_sign_differ(student: Any) -> None:
    with torch.no_grad():
        student.model.norm.weight[0] = 0.0
        before = weights_digest(student)
        negative_zero(student)
    assert weights_digest(student) != before


def test_copies_and_files_are_the_same_student(
    student: Any, tokenizer: Any, tmp_path: Path
) -> None:
    known = student_fingerprint(hf(student, tokenizer))
    assert student_fingerprint(hf(copy.deepcopy(student), tokenizer)) == known
    assert student_fingerprint(hf(helpers_students.student("llama"), tokenizer)) == known
    # A file's configuration may hold more than that of a model in memory.
    found = set()
    for name, size in (("one", "50GB"), ("two", "20KB")):
        student.save_pretrained(tmp_path / name, max_shard_size=size)
        tokenizer.save_pretrained(tmp_path / name)
        loaded = hf(str(tmp_path / name), None, device="cpu", dtype="float32")
        found.add(student_fingerprint(loaded))
        assert weights_digest(loaded.model) == weights_digest(student)
        assert described(loaded) == {
            "name": str(tmp_path / name), "revision": "main", "class": "LlamaForCausalLM",
            "back_end": "HFLM",
        }  # fmt: skip
    assert len(found) == 1


def test_how_a_tensor_lies_in_memory_changes_nothing() -> None:
    values = torch.randn(300, 700)
    apart = torch.empty(values.numel() + 1)[1:].view(300, 700).copy_(values)
    across = values.t().contiguous().t()
    small = torch.randn(4 * _WORDS + 3).to(torch.bfloat16)
    odd = torch.empty(len(small) + 1, dtype=torch.bfloat16)[1:].copy_(small)
    assert torch.equal(mixed(values), mixed(apart)) and torch.equal(mixed(values), mixed(across))
    assert torch.equal(mixed(small), mixed(odd)) and small.data_ptr() % 8 != odd.data_ptr() % 8


@pytest.mark.parametrize("n_bytes", [1, 7, 8, 9, 8 * _WORDS - 1, 8 * _WORDS, 24 * _WORDS + 5])
def test_rows_of_other_devices_give_the_same(n_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU mixes many rows at once."""
    values = torch.randint(0, 256, (n_bytes,), dtype=torch.uint8)
    by_row = mixed(values)
    assert len(by_row) == -(-n_bytes // (8 * _WORDS))
    monkeypatch.setattr("lnat_plugins.harness.student_weights._rows_at_once", lambda _: 2)
    assert torch.equal(mixed(values), by_row)


def test_no_small_change_is_lost() -> None:
    """One to four changed words, in single bits (signs above all) or at random: never the same."""
    draw = torch.Generator().manual_seed(7)
    values = torch.randn(4096, generator=draw).to(torch.bfloat16).view(torch.int64)
    known = mixed(values)
    for trial in range(3000):
        changed = values.clone()
        n = 1 + trial % 4
        at = torch.randperm(len(values), generator=draw)[:n]
        bit = (15, 31, 47, 63)[trial // 4 % 4] if trial % 2 else trial % 64
        flip = 1 << bit if bit < 63 else -(1 << 63)
        changed[at] ^= flip if trial % 3 else torch.randint(1, 1 << 62, (n,), generator=draw)
        assert not torch.equal(mixed(changed), known), (at, bit)


def test_types_are_read_as_bytes() -> None:
    kinds = [torch.float16, torch.int8, torch.bool, torch.float8_e4m3fn, torch.complex64]
    for kind in kinds:
        values = torch.ones(33).to(kind)
        assert torch.equal(mixed(values), mixed(values.clone()))
        assert not torch.equal(mixed(values), mixed(torch.zeros(33).to(kind)))
    assert len(mixed(torch.tensor(3.0))) == 1


@pytest.mark.parametrize("what", ["weights", "alpha", "off"])
def test_an_adapter_counts(what: str, student: Any, tokenizer: Any) -> None:
    def adapted(alpha: int = 8) -> Any:
        torch.manual_seed(3)
        config = LoraConfig(
            r=2, lora_alpha=alpha, target_modules=["q_proj"], init_lora_weights=False
        )
        return get_peft_model(copy.deepcopy(student), config)

    known = student_fingerprint(hf(adapted(), tokenizer))
    assert student_fingerprint(hf(adapted(), tokenizer)) == known
    other = adapted(16 if what == "alpha" else 8)
    if what == "weights":
        with torch.no_grad():
            next(w for name, w in other.named_parameters() if "lora_B" in name)[0, 0] += 0.01
    if what == "off":
        other = other.unload()
    assert student_fingerprint(hf(other, tokenizer)) != known


class Quantised(torch.nn.Linear):
    """As bitsandbytes': what scales the weight is neither a parameter nor a buffer."""

    scale = torch.ones(3)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[no-untyped-call]
        destination[f"{prefix}weight.scale"] = self.scale


def test_the_scales_of_a_quantised_weight_count() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(Quantised(4, 3))
    before = weights_digest(model)
    model[0].scale = torch.tensor([1.0, 2.0, 1.0])
    assert weights_digest(model) != before


def test_the_parts_of_a_tensor_of_parts_count() -> None:
    from torch.testing._internal.two_tensor import TwoTensor

    def model(second: float) -> Any:
        found = torch.nn.Linear(2, 2, bias=False)
        parts = TwoTensor(torch.ones(2, 2), torch.full((2, 2), second))
        found.weight = torch.nn.Parameter(parts, requires_grad=False)
        return found

    assert weights_digest(model(1.0)) == weights_digest(model(1.0)) != weights_digest(model(2.0))


def test_weights_that_were_moved_off_the_device_are_read(student: Any) -> None:
    whole = weights_digest(student)
    away = cpu_offload(copy.deepcopy(student), torch.device("cpu"))
    assert next(away.parameters()).is_meta
    assert weights_digest(away) == whole
    assert next(away.parameters()).is_meta
    with torch.no_grad():
        one_value(student)
    other = cpu_offload(student, torch.device("cpu"))
    assert weights_digest(other) != whole


def test_a_weight_without_values_is_an_error() -> None:
    with pytest.raises(StudentError, match="weight: this weight .*without --use_cache"):
        weights_digest(torch.nn.Linear(2, 2, device="meta"))


def test_tied_weights_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tied = helpers_students.student("llama", tie_word_embeddings=True)
    read = []
    monkeypatch.setattr(
        "lnat_plugins.harness.student_weights.mixed",
        lambda tensor: read.append(tensor.data_ptr()) or mixed(tensor),
    )
    weights_digest(tied)
    assert len(read) == len(set(read))


def test_a_student_elsewhere_is_known_by_its_files(tokenizer: Any, tmp_path: Path) -> None:
    def fingerprint() -> str:
        lm = SimpleNamespace(
            tokenizer=tokenizer, model=object(), max_length=64,
            model_args={"model": str(tmp_path), "revision": "r1"},
        )  # fmt: skip
        assert described(lm)["name"] == str(tmp_path) and described(lm)["revision"] == "r1"
        return student_fingerprint(lm)

    (tmp_path / "model.safetensors").write_bytes(b"one")
    known = fingerprint()
    (tmp_path / "notes.txt").write_text("nothing that is loaded")
    assert fingerprint() == known
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert fingerprint() != known


def test_the_adapter_of_a_student_elsewhere_counts(tokenizer: Any, tmp_path: Path) -> None:
    """lm-eval's `vllm` has it in a request, and only `enable_lora` among its arguments."""

    def found(adapter: str) -> tuple[str, str]:
        lm = SimpleNamespace(
            tokenizer=tokenizer, model=object(), max_length=64,
            model_args={"model": "some/where", "revision": None, "enable_lora": True},
            lora_request=SimpleNamespace(lora_path=adapter),
        )  # fmt: skip
        return student_fingerprint(lm), described(lm)["adapter"]

    folders = [tmp_path / name for name in ("one", "same", "other")]
    for folder in folders:
        folder.mkdir()
        weights = b"two" if folder.name == "other" else b"one"
        (folder / "adapter_model.safetensors").write_bytes(weights)
    (one, name), (same, _), (other, _) = (found(str(folder)) for folder in folders)
    assert one == same != other and name == str(folders[0])


@pytest.mark.parametrize("file", ["config.json", "adapter_config.json"])
def test_a_student_of_the_hub_elsewhere_is_known_by_its_commit(
    file: str, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    stored = tmp_path / "models--some--where"
    (stored / "refs").mkdir(parents=True)

    def found(commit: str) -> tuple[str, str | None]:
        (stored / "refs" / "main").write_text(commit)
        folder = stored / "snapshots" / commit
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("{}")
        arguments = {
            "model": "some/where",
            "revision": None,
            "more": "{" + "x" * 5000,
            "no": "a\0b",
        }
        lm = SimpleNamespace(
            tokenizer=tokenizer, model=object(), max_length=64, model_args=arguments
        )
        return student_fingerprint(lm), described(lm).get("commit")

    one, other = "1" * 40, "2" * 40
    known = found(one)
    assert known[1] == one and found(other)[1] == other
    assert found(one) == known != found(other)


@pytest.mark.parametrize("name", ["mixed_precision_dtype", "softmax_dtype"])
def test_the_precision_of_passes_counts(name: str, student: Any, tokenizer: Any) -> None:
    def found(**more: str) -> str:
        return student_fingerprint(hf(copy.deepcopy(student), tokenizer, **more))

    assert found() != found(**{name: "bfloat16"}) != found(**{name: "float16"})
    assert found(**{name: "bfloat16"}) == found(**{name: "bfloat16"})


def test_what_a_student_is_called_is_json(student: Any, tokenizer: Any) -> None:
    assert json.loads(json.dumps(described(hf(student, tokenizer))))["class"] == "LlamaForCausalLM"
