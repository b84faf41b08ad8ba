"""A row rendered for the student: chat template, prompt token ids, and what training reads.

Scoring reads the prompt up to where the student's turn begins. Training reads prompt and response
in one, as TRL's SFTTrainer does before it cuts anything (trl 1.16, `SFTTrainer._prepare_dataset`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.tokens import Ids
from lnat_plugins.teacher_set.prompts import Candidate


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
            (`add_generation_prompt`), as scoring reads it.
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


def template_arguments(row: Candidate) -> dict[str, Any]:
    """Arguments of the chat template that the row itself carries, read as TRL reads them.

    Raises:
        DataError: a column `tools` or `chat_template_kwargs` of the wrong type.
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
                where=row.where, found=value,
                remedy=f"write a {kind.__name__}, or rename the column",
            )  # fmt: skip
    return {"tools": tools, **options}


def prompt_ids(tokenizer: Any, row: Candidate, *, plain: bool) -> Ids:
    """The token ids before the response, shape (P,).

    The row's columns `tools` and `chat_template_kwargs` reach the template, as in TRL. For `plain`
    see `Candidates.plain`. Raises as `render` and `template_arguments`.
    """
    if not plain:
        arguments = template_arguments(row)
        text = render(tokenizer, row.messages, arguments=arguments, where=row.where)
        return np.array(_encode(tokenizer, text), np.int64)
    text = row.messages[0]["content"]
    # With what the tokenizer puts before a text, and without what it puts after one.
    bare, full = _encode(tokenizer, text), list(tokenizer(text, verbose=False)["input_ids"])
    for begin in range(len(full) - len(bare) + 1):
        if full[begin : begin + len(bare)] == bare:
            return np.array(full[: begin + len(bare)], np.int64)
    return np.array(full, np.int64)


def differs_in_training(tokenizer: Any, row: Candidate) -> bool:
    """Whether training reads other text than is scored: some templates insert text, some trim.

    Raises:
        DataError: training would not see the response as it is, so its score is of another text.
    """
    arguments = template_arguments(row)
    trained = render(tokenizer, row.messages, row.text, arguments=arguments, where=row.where)
    if row.text.strip() not in trained:
        raise DataError(
            "the student's chat template drops or changes part of the response in training",
            where=row.where, found=trained[-80:],
            remedy="use a template that keeps it (many drop what stands before `</think>`; see "
            "`chat_template_path`), or give `prompt` and `completion` as plain text",
        )  # fmt: skip
    opened = render(tokenizer, row.messages, arguments=arguments, where=row.where)
    return not trained.startswith(opened + row.text)


def training_tokens(
    tokenizer: Any,
    messages: Sequence[Mapping[str, str]],
    response: str,
    *,
    plain: bool,
    template_arguments: Mapping[str, Any] | None = None,
    where: str = "",
) -> int:
    """Number of tokens of one row as training reads it, before anything is cut.

    A conversation is rendered with the response as its last turn. Plain text is the prompt, the
    response and the end-of-text token (unless the response ends with it) in one string, with the
    special tokens that the tokenizer adds.

    Args:
        tokenizer: the student's, with the template that training will use.
        messages: the conversation up to the response; for plain text, one turn that holds it.
        template_arguments: see the function of that name; None where TRL does not read them
            from the row.
        where: the row, for messages.

    Raises:
        StudentError, DataError: as `render`; or the tokenizer has no end-of-text token.
    """
    if not plain:
        text = render(tokenizer, messages, response, arguments=template_arguments, where=where)
        return len(_encode(tokenizer, text))
    end = tokenizer.eos_token
    if not end:
        raise StudentError(
            "the student's tokenizer has no end-of-text token, so TRL cannot train on plain text",
            found=type(tokenizer).__name__,
            remedy="set its `eos_token`",
        )
    if not response.endswith(end):
        response += end
    return len(tokenizer(text=messages[0]["content"] + response, verbose=False)["input_ids"])


def _encode(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def template_digest(apply_template: Callable[[list[dict[str, str]]], str] | None) -> str | None:
    """Fingerprint of a chat template, 12 hex digits; None where none is applied."""
    if apply_template is None:
        return None
    text = apply_template([{"role": "user", "content": "?"}])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


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
