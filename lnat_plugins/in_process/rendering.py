"""A prompt as token ids, the way supervised fine-tuning puts it before the response.

Conversations are rendered with the student's own chat template, up to where its turn begins;
plain prompts are tokenised as they stand, with the special tokens that the tokenizer puts
before a text. Knows nothing of scores and of torch.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from lnat_plugins.chat_template import render
from lnat_plugins.selection import PoolRow
from lnat_plugins.tokens import Ids

_PROBE = [{"role": "user", "content": "?"}]


def prompt_ids(tokenizer: Any, row: PoolRow, *, plain: bool) -> Ids:
    """The ids before the response, shape (P,).

    Args:
        tokenizer: the student's.
        row: its columns `tools` and `chat_template_kwargs` reach the template, as in TRL.
        plain: see `Pool.plain`.

    Raises:
        StudentError: a conversation, and the tokenizer has no chat template.
        DataError: the template does not take this conversation.
    """
    if plain:
        return _plain_ids(tokenizer, row.messages[0]["content"])
    text = render(
        tokenizer,
        row.messages,
        open_answer=True,
        arguments=template_arguments(row),
        where=row.where,
    )
    encoded = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return np.array(encoded, np.int64)


def template_arguments(row: PoolRow) -> dict[str, Any]:
    """What the row itself gives to the template, read as TRL reads it."""
    extra = row.response.extra
    tools = extra.get("tools")
    parsed = json.loads(tools) if isinstance(tools, str) else tools
    return {"tools": parsed, **(extra.get("chat_template_kwargs") or {})}


def template_digest(tokenizer: Any, *, plain: bool) -> str | None:
    """12 hex digits that tell the chat template from others; None where none is applied."""
    if plain or not getattr(tokenizer, "chat_template", None):
        return None
    text = tokenizer.apply_chat_template(_PROBE, tokenize=False, add_generation_prompt=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain_ids(tokenizer: Any, text: str) -> Ids:
    """With what the tokenizer puts before a text, and without what it puts after one."""
    bare = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    full = list(tokenizer(text, verbose=False)["input_ids"])
    for begin in range(len(full) - len(bare) + 1):
        if full[begin : begin + len(bare)] == bare:
            return np.array(full[: begin + len(bare)], np.int64)
    return np.array(full, np.int64)
