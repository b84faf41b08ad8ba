"""How many tokens of a row supervised fine-tuning reads: prompt, template, response and end.

The count is that of TRL's SFTTrainer before it cuts anything (trl 1.16,
`SFTTrainer._prepare_dataset`): the length of `input_ids`, for `prompt` and `completion` as for
`messages`. Knows nothing of torch, pools and scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lnat_plugins.chat_template import render
from lnat_plugins.errors import StudentError


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
