"""A conversation in the student's chat template."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lnat_plugins.errors import DataError, LnatError, StudentError
from lnat_plugins.teacher_set.conversations import THINKING_KEYS


def render(
    tokenizer: Any,
    messages: Sequence[Mapping[str, str]],
    response: str | Mapping[str, str] | None = None,
    *,
    arguments: Mapping[str, Any] | None = None,
    where: str = "",
) -> str:
    """A conversation in the student's chat template, up to its turn or with its response.

    Args:
        messages: the conversation up to the response.
        response: the last turn, its content or its keys, as training reads it; None = the text
            ends where that turn begins (`add_generation_prompt`).
        arguments: of the template, such as those of `template_columns.template_arguments`.
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
        own = {"content": response} if isinstance(response, str) else response
        turns.append({"role": "assistant", **own})
    options = {"tokenize": False, "add_generation_prompt": response is None, **(arguments or {})}
    return apply_template(lambda: tokenizer.apply_chat_template(turns, **options), turns, where)


def apply_template(
    apply: Callable[[], object], turns: Sequence[Mapping[str, Any]], where: str
) -> str:
    """What `apply` renders of the turns; DataError if their template does not take them."""
    try:
        return str(apply())
    except Exception as cause:
        # Templates are programs of the model's makers: they raise whatever they like.
        raise DataError(
            f"the student's chat template does not take this conversation: {cause}",
            where=where,
            found=[turn["role"] for turn in turns],
            remedy="change the conversation or the template",
        ) from cause


class ThinkingPlace(NamedTuple):
    """Where a chat template takes the thinking part of a reply.

    Args:
        key: of the assistant turn.
        template: how thinking and answer stand in the text, with `{think}` and `{answer}`; what
            the template opens the student's turn with is no part of it.
    """

    key: str
    template: str

    def join(self, parts: tuple[str, str]) -> str:
        """Thinking and answer as the template writes them."""
        before, after = self.template.split("{think}")
        return before + parts[0] + after.removesuffix("{answer}") + parts[1]

    def turn(self, parts: tuple[str, str]) -> dict[str, str]:
        """The keys of the assistant turn, without its role."""
        return {"content": parts[1], self.key: parts[0]}


def thinking_place(tokenizer: Any) -> ThinkingPlace | None:
    """Found by rendering a reply; None if the template has no such place, or puts it elsewhere."""
    asked = [{"role": "user", "content": "What is 3 + 4?"}]
    thought, answer = "three and four make seven", "it is seven"
    for key in THINKING_KEYS:
        try:
            opened = render(tokenizer, asked)
            whole = render(tokenizer, asked, {"content": answer, key: thought})
        except LnatError:
            return None
        begin, end = whole.rfind(thought), whole.rfind(answer)
        if 0 <= begin < end:
            start = common_prefix(opened, whole[:begin])
            before, between = whole[start:begin], whole[begin + len(thought) : end]
            if "{" not in before + between:
                return ThinkingPlace(key, f"{before}{{think}}{between}{{answer}}")
    return None


def common_prefix(one: str, other: str) -> int:
    """Characters that both begin with."""
    if other.startswith(one):
        return len(one)
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def template_digest(apply_template: Callable[[list[dict[str, str]]], str] | None) -> str | None:
    """Fingerprint of a chat template, 12 hex digits; None where none is applied."""
    if apply_template is None:
        return None
    text = apply_template([{"role": "user", "content": "?"}])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def rendering_in_words(settings: Mapping[str, Any]) -> str:
    """How prompts were rendered, by the settings of a record; "" for older ones without it."""
    if "chat_template" not in settings:
        return ""
    template = settings["chat_template"]
    rendering = f"chat template (digest {template})" if template else "plain text"
    return rendering + (", with a system instruction" if settings.get("system_instruction") else "")


def reads_plain(tokenizer: Any, apply_chat_template: bool | None) -> bool:
    """Whether prompts are read as plain text.

    Args:
        apply_chat_template: None = wherever the tokenizer has a template.

    Raises:
        StudentError: a template is to be applied, and there is none.
    """
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if apply_chat_template and not has_template:
        raise StudentError(
            "the tokenizer has no chat template to apply",
            remedy="set `tokenizer.chat_template`, or leave `apply_chat_template` out",
        )
    return not (has_template if apply_chat_template is None else apply_chat_template)


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
