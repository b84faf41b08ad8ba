"""A prompt as token ids, the way supervised fine-tuning puts it before the response.

Conversations are rendered with the student's own chat template, up to where its turn begins;
plain prompts are tokenised as they stand, with the special tokens that the tokenizer puts
before a text. Knows nothing of scores and of torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

import numpy as np

from lnat_plugins.chat_template import render
from lnat_plugins.errors import DataError
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
    """What the row itself gives to the template, read as TRL reads it.

    Raises:
        DataError: a column `tools` or `chat_template_kwargs` that TRL would choke on.
    """
    extra = row.response.extra
    tools, options = extra.get("tools"), extra.get("chat_template_kwargs") or {}
    if isinstance(tools, str):
        with contextlib.suppress(ValueError):
            tools = json.loads(tools)
    for name, value, kind in (("tools", tools, list), ("chat_template_kwargs", options, dict)):
        if value is not None and not isinstance(value, kind):
            raise DataError(
                f"TRL gives the column `{name}` to the chat template, which cannot read this",
                where=row.where,
                found=value,
                remedy=f"write a {kind.__name__}, or rename the column",
            )
    return {"tools": tools, **options}


def differs_in_training(tokenizer: Any, row: PoolRow) -> bool:
    """Whether training puts other text before or into the response than is scored.

    Templates may: some insert an empty thinking part, some trim.

    Raises:
        DataError: training would not see the response at all as it stands, so that its score
            is of another text.
    """
    arguments = template_arguments(row)
    turns = [*row.messages, {"role": "assistant", "content": row.text}]
    trained = render(tokenizer, turns, open_answer=False, arguments=arguments, where=row.where)
    if row.text.strip() not in trained:
        raise DataError(
            "the student's chat template drops or changes part of the response in training",
            where=row.where,
            found=trained[-80:],
            remedy="use a template that keeps it (many drop what stands before `</think>`; see "
            "`chat_template_path`), or give `prompt` and `completion` as plain text",
        )
    opened = render(tokenizer, row.messages, open_answer=True, arguments=arguments, where=row.where)
    return not trained.startswith(opened + row.text)


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
