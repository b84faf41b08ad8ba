"""Conversations as text, in the student's own chat template.

Knows nothing of tokens, rows and scores.

How many tokens of a row supervised fine-tuning reads: prompt, template, response and end.

The count is that of TRL's SFTTrainer before it cuts anything (trl 1.16,
`SFTTrainer._prepare_dataset`): the length of `input_ids`, for `prompt` and `completion` as for
`messages`. Knows nothing of torch, pools and scores.

A prompt as token ids, the way supervised fine-tuning puts it before the response.

Conversations are rendered with the student's own chat template, up to where its turn begins;
plain prompts are tokenised as they stand, with the special tokens that the tokenizer puts
before a text. Knows nothing of scores and of torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.tokens import Ids
from lnat_plugins.teacher_set.prompts import Candidate


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


def training_tokens(
    tokenizer: Any,
    messages: Sequence[Mapping[str, str]],
    response: str,
    *,
    plain: bool,
    template_arguments: Mapping[str, Any] | None = None,
    where: str = "",
) -> int:
    """Tokens of one row as training reads it.

    A conversation is rendered with the response as its last turn, in the student's own chat
    template. Plain text is the prompt, the response and the end-of-text token (unless the
    response ends with it) in one string, with the special tokens that the tokenizer adds.

    Args:
        tokenizer: the student's, with the template that training will use.
        messages: the conversation up to the response; for plain text, one turn that holds it.
        response: verbatim.
        plain: whether the prompt is plain text.
        template_arguments: what the row gives to the template (`tools` and the entries of
            `chat_template_kwargs`), where TRL will read them from the row.
        where: the row, for messages.

    Raises:
        StudentError: the tokenizer has no chat template, or no end-of-text token.
        DataError: the template does not take this conversation.
    """
    if plain:
        return _plain(tokenizer, messages[0]["content"], response)
    turns = [*messages, {"role": "assistant", "content": response}]
    text = render(tokenizer, turns, open_answer=False, arguments=template_arguments, where=where)
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _plain(tokenizer: Any, prompt: str, response: str) -> int:
    end = tokenizer.eos_token
    if not end:
        raise StudentError(
            "the student's tokenizer has no end-of-text token, so TRL cannot train on plain text",
            found=type(tokenizer).__name__,
            remedy="set its `eos_token`",
        )
    if not response.endswith(end):
        response += end
    return len(tokenizer(text=prompt + response, verbose=False)["input_ids"])


def load_tokenizer(name: str) -> Any:
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
            remedy="give --tokenizer a folder with the student's tokenizer files",
        ) from None


_PROBE = [{"role": "user", "content": "?"}]


def prompt_ids(tokenizer: Any, row: Candidate, *, plain: bool) -> Ids:
    """The ids before the response, shape (P,).

    Args:
        tokenizer: the student's.
        row: its columns `tools` and `chat_template_kwargs` reach the template, as in TRL.
        plain: see `Candidates.plain`.

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


def template_arguments(row: Candidate) -> dict[str, Any]:
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


def differs_in_training(tokenizer: Any, row: Candidate) -> bool:
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
