"""A conversation in the student's chat template."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.teacher_set.prompts import Response


def render(
    tokenizer: Any,
    messages: Sequence[Mapping[str, str]],
    response: str | None = None,
    *,
    arguments: Mapping[str, Any] | None = None,
    where: str = "",
) -> str:
    """A conversation in the student's chat template, up to its turn or with its response.

    Args:
        messages: the conversation up to the response.
        response: the last turn, as training reads it; None = the text ends where that turn begins
            (`add_generation_prompt`).
        arguments: see `template_arguments`.
        where: the row, for messages.

    Raises:
        StudentError: the tokenizer has no chat template.
        DataError: the template does not take this conversation.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise StudentError(
            "the rows are conversations, and the student's tokenizer has no chat template",
            where=where,
            remedy="set `tokenizer.chat_template` or TRL's `chat_template_path`, or give `prompt` "
            "and `completion` as plain text",
        )
    turns = [dict(turn) for turn in messages]
    if response is not None:
        turns.append({"role": "assistant", "content": response})
    options = {"tokenize": False, "add_generation_prompt": response is None, **(arguments or {})}
    try:
        return str(tokenizer.apply_chat_template(turns, **options))
    except Exception as cause:
        # Templates are programs of the model's makers: they raise whatever they like.
        raise DataError(
            f"the student's chat template does not take this conversation: {cause}",
            where=where,
            found=[turn["role"] for turn in turns],
            remedy="change the conversation or the template",
        ) from cause


def template_arguments(response: Response) -> dict[str, Any]:
    """Arguments of the chat template that a row itself carries, read as TRL reads them.

    Raises:
        DataError: a column `tools` or `chat_template_kwargs` of the wrong type.
    """
    extra = response.extra
    tools, options = extra.get("tools"), extra.get("chat_template_kwargs") or {}
    if isinstance(tools, str):
        with contextlib.suppress(ValueError):
            tools = json.loads(tools)
    for name, value, kind in (("tools", tools, list), ("chat_template_kwargs", options, dict)):
        if value is not None and not isinstance(value, kind):
            raise DataError(
                f"TRL gives the column `{name}` to the chat template, which cannot read this",
                where=response.where, found=value,
                remedy=f"write a {kind.__name__}, or rename the column",
            )  # fmt: skip
    return {"tools": tools, **options}


def template_digest(apply_template: Callable[[list[dict[str, str]]], str] | None) -> str | None:
    """Fingerprint of a chat template, 12 hex digits; None where none is applied."""
    if apply_template is None:
        return None
    text = apply_template([{"role": "user", "content": "?"}])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_tokenizer(
    name: str, remedy: str = "give --tokenizer a folder with the student's tokenizer files"
) -> Any:
    """The tokenizer of that folder or that name on the Hub.

    Raises:
        StudentError: it cannot be loaded from here.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, ImportError, KeyError) as cause:
        first, *_ = str(cause).strip().splitlines() or [type(cause).__name__]
        raise StudentError(
            f"the tokenizer cannot be loaded: {first.rstrip('.')}",
            where=name,
            remedy=remedy,
        ) from None
