"""Which family a model's name speaks of. Knows nothing but names: a hint, not a pedigree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "qwen": ("qwen", "qwq", "qvq"),
    "llama": ("llama", "codellama"),
    "gemma": ("gemma", "codegemma"),
    "mistral": (
        "mistral", "mixtral", "ministral", "codestral", "magistral", "devstral", "mathstral",
    ),
    "phi": ("phi",),
    "deepseek": ("deepseek",),
    "gpt": ("gpt", "chatgpt"),
    "claude": ("claude",),
    "gemini": ("gemini",),
    "glm": ("glm", "chatglm"),
    "kimi": ("kimi",),
    "olmo": ("olmo",),
    "granite": ("granite",),
    "falcon": ("falcon",),
    "internlm": ("internlm",),
    "smollm": ("smollm",),
}  # fmt: skip
"""Family -> the words that stand for it. QwQ and QvQ are Qwen's reasoning models."""

_FAMILY_OF: Final = {word: family for family, words in FAMILIES.items() for word in words}


def families(name: str) -> frozenset[str]:
    """The families that a model's or teacher's name speaks of, by whole words.

    A word may carry a version: "Qwen2.5" and "gpt4o" count, "DSQ" and "dolphin" do not.
    "DeepSeek-R1-Distill-Qwen-7B" speaks of two. Of a path only the last part is read, as the
    folders above it say nothing of the model; of "org/model" both.
    """
    parts = name.rstrip("/\\").replace("\\", "/").split("/")
    is_repository = len(parts) == 2 and parts[0] not in ("", ".", "..", "~")
    text = name if is_repository else parts[-1]
    words = re.findall(r"[a-z]+", text.lower())
    return frozenset(_FAMILY_OF[word] for word in words if word in _FAMILY_OF)
