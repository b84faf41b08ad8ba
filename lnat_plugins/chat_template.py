"""Conversations as text, in the student's own chat template.

Knows nothing of tokens, rows and scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lnat_plugins.errors import DataError, StudentError


def render(
    tokenizer: Any,
    messages: Sequence[Mapping[str, str]],
    *,
    open_answer: bool,
    arguments: Mapping[str, Any] | None = None,
    where: str = "",
) -> str:
    """The conversation as the template writes it.

    Args:
        tokenizer: the student's.
        messages: the turns.
        open_answer: whether the text ends where the student's next turn begins
            (`add_generation_prompt`).
        arguments: what the row gives to the template: `tools`, entries of
            `chat_template_kwargs`.
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
    options = {"tokenize": False, "add_generation_prompt": open_answer, **(arguments or {})}
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
