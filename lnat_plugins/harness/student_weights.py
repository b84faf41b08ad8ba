"""What tells one student from another: a fingerprint of all that decides its numbers.

Every weight and every buffer is read once, on the device where it lies, and mixed into 64 bits for
each 256 KiB; sha256 takes these. So a GPU sends back 8 bytes for each 256 KiB and mixes at the
speed of its memory; a CPU needs as long as sha256 of the bytes would.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from accelerate.utils import align_module_device
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from lnat_plugins.errors import StudentError

_WORDS: Final = 1 << 15
"""64-bit words that are mixed into one: they stay in a CPU's cache. Of more words torch would share
every operation between threads, which wait for each other; on a busy machine that took 20 times as
long."""
_GPU_ROWS: Final = 64
"""So many at once on other devices, where a kernel's start costs more."""

# Odd multipliers of splitmix64, as signed numbers.
_STEP: Final = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST: Final = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND: Final = 0x94D049BB133111EB - (1 << 64)

_WEIGHT_FILES: Final = frozenset({".safetensors", ".bin", ".pt", ".pth", ".gguf", ".json"})
_NOT_IDENTIFYING: Final = frozenset(
    {"transformers_version", "base_model_name_or_path", "revision", "inference_mode"}
)


def student_fingerprint(lm: Any) -> str:
    """32 hex digits of a student of lm-eval: context, tokenizer, configuration, all weights.

    Equal students have equal ones wherever they lie. A student in another process is known by the
    harness's arguments and its adapter, and by the files of the folders that these name, or the
    commit of a name on the hub.

    Raises:
        StudentError: a weight that cannot be read.
    """
    digest = hashlib.sha256(type(lm).__name__.encode())
    arguments = getattr(lm, "model_args", "")
    digest.update(f"{arguments}{getattr(lm, 'max_length', '')}".encode())
    # The whole of a fast tokenizer: the same text must become the same ids.
    fast = getattr(lm.tokenizer, "backend_tokenizer", None)
    digest.update((str(type(lm.tokenizer)) if fast is None else fast.to_str()).encode())
    for name in ("mixed_precision_dtype", "softmax_dtype"):  # they are not in the configuration
        if (kind := getattr(lm, name, None)) is not None:
            digest.update(f"{name} {kind}".encode())
    model = _model_of(lm)
    if isinstance(model, torch.nn.Module):
        digest.update(_configuration(model).encode())
        digest.update(weights_digest(model).encode())
    else:
        digest.update(str(model if isinstance(model, str) else "").encode())
        own = arguments if isinstance(arguments, Mapping) else {}
        for value in (*own.values(), _adapter_of(lm)):
            folder = _place(value)
            if folder is not None and folder.is_dir():
                digest.update(_folder_digest(folder).encode())
            digest.update(_commit(value, own.get("revision")).encode())
    return digest.hexdigest()[:32]


def described(lm: Any) -> dict[str, str]:
    """What a student is called: name or path, revision, class; a fingerprint names nothing."""
    model = _model_of(lm)
    config = getattr(model, "config", None)
    arguments = getattr(lm, "model_args", None)
    own = arguments if isinstance(arguments, Mapping) else {}
    name = getattr(config, "_name_or_path", "") or getattr(lm, "pretrained", "")
    name = name or own.get("model") or own.get("model_path") or model
    found = {
        "name": name,
        "revision": getattr(lm, "revision", None) or own.get("revision"),
        "commit": getattr(config, "_commit_hash", None) or _commit(name, own.get("revision")),
        "adapter": getattr(lm, "peft", None) or getattr(lm, "delta", None) or _adapter_of(lm),
    }
    named = {key: value for key, value in found.items() if isinstance(value, str) and value}
    return named | {"class": type(model).__name__, "back_end": type(lm).__name__}


def weights_digest(model: torch.nn.Module) -> str:
    """sha256 of the names, shapes, types and values of all parameters and buffers.

    What a quantised layer keeps beside them (scales, code books) is read from its state. Weights
    that accelerate has moved off their device are brought back, module by module.

    Raises:
        StudentError: a weight that cannot be read.
    """
    digest = hashlib.sha256()
    for name, tensor in _tensors(model):
        _add(digest, name, tensor)
    return digest.hexdigest()


def _model_of(lm: Any) -> Any:
    return getattr(lm, "_model", None) or getattr(lm, "model", None)


def _adapter_of(lm: Any) -> Any:
    """Where the adapter of lm-eval's `vllm` lies, which its arguments do not name; or None."""
    return getattr(getattr(lm, "lora_request", None), "lora_path", None)


def _place(name: object) -> Path | None:
    """What lies there; None for what is no path, or a path to nothing."""
    try:
        return Path(name) if isinstance(name, str) and name and Path(name).exists() else None
    except OSError:  # too long for a name
        return None


def _commit(name: object, revision: object) -> str:
    """Of a model of the hub as it lies in the cache of Hugging Face; "" if it is not there."""
    if not isinstance(name, str) or _place(name) is not None:
        return ""
    version = revision if isinstance(revision, str) else None
    try:
        found = try_to_load_from_cache(name, "config.json", revision=version)
        found = found or try_to_load_from_cache(name, "adapter_config.json", revision=version)
    except HFValidationError:  # no name of the hub
        return ""
    return Path(found).parent.name if isinstance(found, str) else ""


def _configuration(model: Any) -> str:
    """How the weights are read (positions, scales, sliding windows, adapters)."""
    adapters = getattr(model, "peft_config", None) or {}
    configs = {"": getattr(model, "config", None), **adapters}
    found = {
        str(name): config.to_dict() if hasattr(config, "to_dict") else {}
        for name, config in configs.items()
    }
    active = getattr(model, "active_adapters", None) if adapters else None
    return json.dumps([_identifying(found), active], sort_keys=True, default=_as_text)


def _identifying(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Without what says only where a model lies and who wrote it."""
    return {
        str(key): _identifying(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if not str(key).startswith("_") and key not in _NOT_IDENTIFYING
    }


def _as_text(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)


def _tensors(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and tensor of every weight and buffer; the name alone of one that was given before."""
    names: set[str] = set()
    first: dict[int, str] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        with align_module_device(module):
            own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            for name, tensor in own:
                path = f"{prefix}.{name}" if prefix else name
                names.add(path)
                # Tensors that are brought back for a moment may have the same id.
                known = first.get(id(tensor)) if not hasattr(module, "_hf_hook") else None
                if known is not None:
                    yield f"{path} = {known}", torch.empty(0)
                    continue
                if not hasattr(module, "_hf_hook"):
                    first[id(tensor)] = path
                yield path, tensor
    for name, value in model.state_dict(keep_vars=True).items():
        if name not in names and isinstance(value, torch.Tensor) and not value.is_meta:
            yield name, value


def _add(digest: Any, name: str, tensor: torch.Tensor) -> None:
    tensor = tensor.detach()
    if hasattr(tensor, "full_tensor"):  # a part of one that is spread over processes
        tensor = tensor.full_tensor()
    if hasattr(tensor, "__tensor_flatten__") and type(tensor) is not torch.Tensor:
        parts, context = tensor.__tensor_flatten__()
        digest.update(f"{name}: {type(tensor).__name__} {context}".encode())
        for part in parts:
            _add(digest, f"{name}.{part}", getattr(tensor, part))
        return
    digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
    if not tensor.numel():
        return
    try:
        digest.update(mixed(tensor).numpy().tobytes())
    except (RuntimeError, NotImplementedError) as cause:
        raise StudentError(
            "this weight of the student cannot be read, by which --use_cache knows whose scores "
            "it keeps", where=name, found=f"{type(tensor).__name__}: {cause}",
            remedy="score without --use_cache",
        ) from None  # fmt: skip


def mixed(tensor: torch.Tensor) -> torch.Tensor:
    """64 bits for each 256 KiB of a tensor's bytes, on the CPU: (⌈bytes / 2¹⁸⌉,).

    Sums over positions i of m(w_i xor 0x9E37…i), where m multiplies, folds its upper bits down,
    and does both again (splitmix64's constants): whichever words change, the sum stays the same in
    one of 2⁶⁴ cases. No defence against someone who searches for weights of an equal sum.
    """
    flat_B = tensor.contiguous().reshape(-1).view(torch.uint8)
    rows = _rows_at_once(flat_B.device)
    keys_W = _keys(str(flat_B.device))
    found = []
    step = 8 * _WORDS
    whole = len(flat_B) // step * step
    cuts = [*range(0, whole, rows * step), whole]
    for begin, end in [*itertools.pairwise(cuts), (whole, len(flat_B))]:
        if end == begin:
            continue
        piece_B = flat_B[begin:end]
        if odd := -len(piece_B) % 8:
            piece_B = torch.nn.functional.pad(piece_B, (0, odd))
        if piece_B.storage_offset() % 8 or piece_B.data_ptr() % 8:
            piece_B = piece_B.clone()
        width = min(_WORDS, len(piece_B) // 8)
        words_RW = piece_B.view(torch.int64).view(-1, width) ^ keys_W[:width]
        words_RW.mul_(_FIRST)
        words_RW.bitwise_xor_(words_RW >> 29).mul_(_SECOND)
        words_RW.bitwise_xor_(words_RW >> 32)
        found.append(words_RW.sum(1))
    return torch.cat(found).cpu()


def _rows_at_once(device: torch.device) -> int:
    return 1 if device.type == "cpu" else _GPU_ROWS


@functools.lru_cache(maxsize=16)
def _keys(device: str) -> torch.Tensor:
    return torch.arange(_WORDS, device=device) * _STEP


def _folder_digest(folder: Path) -> str:
    """sha256 of the model's files, by name and bytes."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in _WEIGHT_FILES and file.is_file():
            digest.update(file.name.encode())
            with file.open("rb") as opened:
                while piece := opened.read(1 << 24):
                    digest.update(piece)
    return digest.hexdigest()
