"""Tiny random students of many architectures, runs for them to read, and a shortage of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from lnat_plugins.engine.types import TokenRun

VOCABULARY = 97
PROMPT = np.array([5, 6, 7, 8])
_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GPT2 = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_SEES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
_ROTATES = {
    "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10_000.0}
}
_STATE = {k: v for k, v in _COMMON.items() if "attention" not in k and "key_value" not in k}

#: name -> (model type, configuration, the pass it must take)
ARCHITECTURES: dict[str, tuple[str, dict[str, Any], str]] = {
    "llama": ("llama", _COMMON, "packed"),
    "qwen2": ("qwen2", _COMMON, "packed"),
    "qwen3": ("qwen3", {**_COMMON, "head_dim": 8}, "packed"),
    "phi3": ("phi3", _COMMON, "packed"),
    "olmo2": ("olmo2", _COMMON, "packed"),
    "granite": ("granite", {**_COMMON, "logits_scaling": 3.0}, "packed"),
    "gpt2": ("gpt2", _GPT2, "packed"),
    "gpt_neox": ("gpt_neox", _COMMON, "packed"),
    "qwen3_moe": (
        "qwen3_moe",
        {
            **_COMMON,
            "head_dim": 8,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
        },
        "packed",
    ),
    "mixtral": ("mixtral", {**_COMMON, "num_local_experts": 4, "sliding_window": None}, "packed"),
    "mistral_sliding": ("mistral", {**_COMMON, "sliding_window": 6}, "batched"),
    "gemma2_sliding": ("gemma2", {**_COMMON, "head_dim": 8, "sliding_window": 6}, "batched"),
    "gemma3_sliding": ("gemma3_text", {**_COMMON, "head_dim": 8, "sliding_window": 6}, "batched"),
    "mamba": ("mamba", {**_STATE, "state_size": 8}, "batched"),
    "falcon_alibi": (
        "falcon",
        {**_COMMON, "alibi": True, "new_decoder_architecture": False},
        "batched",
    ),
    # Models of text and images, whose configuration holds one for each.
    "gemma3": (
        "gemma3",
        {
            "text_config": {**_COMMON, "head_dim": 8, "layer_types": ["full_attention"] * 2,
                            "sliding_window": None},
            "vision_config": _SEES,
            "mm_tokens_per_image": 4,
        },
        "packed",
    ),
    "gemma3_both": (
        "gemma3",
        {
            "text_config": {**_COMMON, "head_dim": 8, "sliding_window": 6},
            "vision_config": _SEES,
            "mm_tokens_per_image": 4,
        },
        "batched",
    ),
    "mistral3": (
        "mistral3",
        {
            "text_config": {
                **_COMMON, "model_type": "mistral", "head_dim": 8, "sliding_window": None,
            },
            "vision_config": {**_SEES, "model_type": "pixtral"},
        },
        "packed",
    ),
    "qwen3_vl": (
        "qwen3_vl",
        {
            "text_config": {**_COMMON, **_ROTATES, "head_dim": 8},
            "vision_config": {
                "hidden_size": 16, "depth": 1, "num_heads": 2, "out_hidden_size": 32,
                "intermediate_size": 32, "deepstack_visual_indexes": [],
            },
        },
        "packed",
    ),
}  # fmt: skip


def student(name: str, attention: str | None = None, **changes: Any) -> Any:
    """A random model in float32; weights scaled up so that a wrong context costs nats."""
    torch.manual_seed(0)
    model = built(name, changes, attention)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim >= 2:
                weight.mul_(4.0)
    return model


def built(name: str, changes: dict[str, Any], attention: str | None = None) -> Any:
    """A model of that architecture, its configuration of text changed."""
    model_type, settings, _ = ARCHITECTURES[name]
    config: Any
    if "text_config" in settings:
        text = {**settings["text_config"], **changes}
        config = AutoConfig.for_model(model_type, **{**settings, "text_config": text})
    else:
        config = AutoConfig.for_model(model_type, **{**settings, **changes})
    known = type(config) in AutoModelForCausalLM._model_mapping
    load: Any = AutoModelForCausalLM if known else AutoModelForImageTextToText
    chosen = {"attn_implementation": attention} if attention else {}
    return load.from_config(config, dtype=torch.float32, **chosen).eval()


def tokens(n: int, seed: int = 0) -> Any:
    """Token ids, shape (n,)."""
    return np.random.default_rng(seed).integers(3, VOCABULARY, n)


def run(
    n: int, scored: slice = slice(None), seed: int = 0, wanted: frozenset[str] = frozenset()
) -> TokenRun:
    """A run of `n` tokens of which those of a slice are scored."""
    mask = np.zeros(n, bool)
    mask[scored] = True
    return TokenRun(tokens(n, seed), mask, wanted)


class Scarce:
    """Makes a model run out of memory where a pass reads too many tokens or a too long context."""

    def __init__(self, model: Any, *, tokens: float = np.inf, context: float = np.inf) -> None:
        self.tokens = tokens
        self.context = context
        self.refused = 0
        model.register_forward_pre_hook(self.check, with_kwargs=True)

    def check(self, _: Any, args: Any, kwargs: dict[str, Any]) -> None:
        ids, positions = kwargs["input_ids"], kwargs.get("position_ids")
        context = ids.shape[1] if positions is None else int(positions.max()) + 1
        if ids.numel() > self.tokens or context > self.context:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
