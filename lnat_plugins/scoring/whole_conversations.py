"""A conversation as token ids: which of them the teacher wrote.

The template says it, by `{% generation %}` blocks, and transformers finds their tokens: the same
that TRL trains on with `assistant_only_loss` (trl 1.16, `SFTTrainer`), so that nothing is searched
for in the ids. TRL's training template takes the place of one without such blocks, as in training.

A block ends with the end-of-turn token, and some templates begin it with an empty thinking part.
Both are trained on, and like those of any other response they are not scored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.formatting import plural
from lnat_plugins.scoring.chat import apply_template, common_prefix
from lnat_plugins.scoring.tokens import (
    Ids,
    ResponseTokens,
    refuse_losses,
    special_ids,
    visible_in,
)
from lnat_plugins.steps import Span
from lnat_plugins.teacher_set.prompts import ConversationTurn
from lnat_plugins.teacher_set.whole_conversations import BETWEEN, for_template, is_scored

_EMPTY_THINKING: Final = re.compile(r"\s*<(think|thinking)>\s*</\1>\s*")
_MARKED: Final = re.compile(r"\{%-?\s*generation\s*-?%\}")


class RenderedConversation(NamedTuple):
    """A conversation in the student's training template.

    Args:
        text: of all turns.
        spans: of each turn that is scored and not empty, its characters in `text`.
        cut: whether the template leaves out part of a turn.
    """

    text: str
    spans: list[Span]
    cut: bool

    @property
    def written(self) -> str:
        """What the teacher wrote, as the template writes it, turns joined by a blank line."""
        return BETWEEN.join(self.text[begin:end] for begin, end in self.spans)


class ConversationTokens(NamedTuple):
    """A rendered conversation as token ids.

    Args:
        prompt: shape (P,), all before the first token of the first turn that is scored.
        response: from there on to the last one that is scored.
        after: the rest.
    """

    prompt: Ids
    response: ResponseTokens
    after: Ids


def training_template(tokenizer: Any) -> str:
    """The student's own template where it marks what the assistant writes, else TRL's for it.

    Raises:
        StudentError: no template, or none that TRL knows.
    """
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default")
    if template and _MARKED.search(template):
        return str(template)
    return _of_trl(tokenizer, template or "")


def _of_trl(tokenizer: Any, template: str) -> str:
    from trl.chat_template_utils import get_training_chat_template

    try:
        found = get_training_chat_template(tokenizer) if template else None
    except ValueError:
        found = None
    if found is None:
        raise StudentError(
            "the student's chat template does not say what the assistant writes, and TRL has no "
            "training template for it",
            found=template[:80] or "no chat template",
            remedy="put {% generation %} and {% endgeneration %} around an assistant turn's text "
            "in `tokenizer.chat_template`",
        )
    return str(found)


def render_conversation(
    tokenizer: Any,
    template: str,
    turns: Sequence[ConversationTurn],
    arguments: Mapping[str, Any],
    where: str,
) -> RenderedConversation:
    """The conversation in the template.

    Args:
        template: see `training_template`.
        arguments: of the template, such as `tools`.

    Raises:
        DataError: the template does not take the conversation, leaves turns of the assistant out,
            or writes nothing of those that are scored.
    """
    messages = for_template(turns)
    text, blocks = _rendered(tokenizer, template, messages, arguments, where)
    assistants = [turn for turn in turns if turn["role"] == "assistant"]
    spans = _joined(blocks)
    if len(spans) != len(assistants):
        raise DataError(
            f"the student's training template marks {plural(len(spans), 'turn')} of the assistant, "
            f"the conversation has {len(assistants)}",
            where=where, remedy="use a template that keeps every turn",
        )  # fmt: skip
    ends = _ends(tokenizer)
    own = []
    for turn, (begin, end) in zip(assistants, spans, strict=True):
        block = ends.sub("", text[begin:end])
        added = _added(turn, block)
        if is_scored(turn) and block[added:].strip():
            own.append((begin + added, begin + len(block)))
    if not own:
        raise DataError(
            "the student's chat template writes nothing of what the teacher wrote", where=where,
            found=text[-80:], remedy="use another template, or leave the row out",
        )  # fmt: skip
    return RenderedConversation(text, own, _leaves_out(text, messages))


def _rendered(
    tokenizer: Any, template: str, messages: Sequence[Mapping[str, Any]],
    arguments: Mapping[str, Any], where: str,
) -> tuple[str, list[Span]]:  # fmt: skip
    """The text of a conversation, and what of it the template's blocks mark."""
    from transformers.utils.chat_template_utils import render_jinja_template

    options = {**tokenizer.special_tokens_map, **arguments}
    blocks: list[list[Span]] = []

    def render() -> str:
        found: Any = render_jinja_template(
            conversations=[[*map(dict, messages)]], chat_template=template,
            return_assistant_tokens_mask=True, **options,
        )  # fmt: skip
        blocks.extend(found[1])
        return str(found[0][0])

    return apply_template(render, messages, where), blocks[0]


def check_as_given(
    tokenizer: Any, template: str, rendered: RenderedConversation,
    given: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any], where: str,
) -> None:  # fmt: skip
    """Refuse turns that a trainer would render otherwise than they were read.

    Args:
        rendered: the conversation as it was read.
        given: its turns, as the trainer hands them to the template.

    Raises:
        DataError: the two differ.
    """
    text, _ = _rendered(tokenizer, template, given, arguments, where)
    if text != rendered.text:
        begin = common_prefix(text, rendered.text)
        raise DataError(
            "the chat template writes the turns otherwise than they are scored", where=where,
            found=text[begin:][:80],
            remedy="write turns as `role` and `content`, calls as `tool_calls` whose `arguments` "
            'are objects, and "" where there is no content',
        )  # fmt: skip


def conversation_tokens(
    tokenizer: Any, rendered: RenderedConversation, where: str, *, show_all: bool = False
) -> ConversationTokens:
    """The tokens of a rendered conversation, and which of them are scored.

    A token is scored if it holds a character of a scored turn, as transformers' mask has it.

    Args:
        show_all: whether windows show all that the teacher did not write; see `observations`.

    Raises:
        StudentError: the tokenizer drops text.
    """
    text, spans, _ = rendered
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids = np.array(encoding["input_ids"], np.int64)
    begins, ends = np.array(encoding["offset_mapping"], np.int64).reshape(-1, 2).T
    own, offsets_T2, turns = np.zeros(len(ids), bool), np.zeros((len(ids), 2), np.int64), []
    at = 0
    for begin, end in spans:
        inside = (ends > begin) & (begins < end)
        own |= inside
        offsets_T2[inside, 0] = begins[inside].clip(min=begin) - begin + at
        offsets_T2[inside, 1] = ends[inside].clip(max=end) - begin + at
        turns.append((at, at + end - begin))
        behind = begins >= end
        offsets_T2[behind] = at + end - begin
        at += end - begin + len(BETWEEN)
    written = rendered.written
    first, stop = np.flatnonzero(own)[[0, -1]] + (0, 1)
    inner = slice(first, stop)
    refuse_losses(written, offsets_T2[inner][own[inner]], visible_in(written), where)
    response = ResponseTokens(
        ids[inner], offsets_T2[inner], own[inner], tuple(turns), ~own[inner] if show_all else None
    )
    return ConversationTokens(ids[:first], response, ids[stop:])


def turns_cut(
    prompt: int, response: ResponseTokens, whole: int, limit: int, *, from_start: bool
) -> tuple[int, int]:
    """The turns that lose tokens where a row is cut, and all turns.

    Args:
        prompt: tokens before the response.
        whole: tokens of the row.
        limit: those that are kept.
        from_start: whether the row's beginning is cut off, not its end.
    """
    places = np.flatnonzero(np.zeros(0) if response.own is None else response.own)
    begins = [begin for begin, _ in response.turns]
    turn_N = np.searchsorted(begins, response.offsets[places, 0], side="right") - 1
    places = places + prompt
    lost_N = places < whole - limit if from_start else places >= limit
    return len(np.unique(turn_N[lost_N])), len(begins)


def _added(turn: ConversationTurn, block: str) -> int:
    """Characters of an empty thinking part that the template writes before the turn's own text."""
    content = turn["content"]
    if turn.get("reasoning_content"):
        return 0
    found = _EMPTY_THINKING.match(block)
    if found is None or _EMPTY_THINKING.match(content):
        return 0
    # White space that the content begins with is its own.
    own = content[: len(content) - len(content.lstrip())]
    return found.end() - len(own) if found[0].endswith(own) else found.end()


def _leaves_out(text: str, messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the visible text of a turn, or a call, is not in the rendered text."""
    shown = "".join(text.split())
    parts = (
        part
        for turn in messages
        for part in (
            turn["content"],
            turn.get("reasoning_content", ""),
            *(call["function"]["name"] for call in turn.get("tool_calls", ())),
        )
    )
    return any("".join(part.split()) not in shown for part in parts)


def _joined(blocks: Sequence[Sequence[int]]) -> list[Span]:
    """Blocks that follow each other without a character between as one."""
    spans: list[Span] = []
    for begin, end in blocks:
        if spans and spans[-1][1] == begin:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return spans


def _ends(tokenizer: Any) -> re.Pattern[str]:
    """A special token at the end of a text, with the white space behind it."""
    tokens = tokenizer.convert_ids_to_tokens(sorted(special_ids(tokenizer)))
    return _ends_in(tuple(sorted(map(str, tokens))))


@lru_cache(maxsize=8)
def _ends_in(tokens: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(map(re.escape, tokens))})\s*\Z")
