"""One row as token ids: what training reads, and which of it is the response.

Training renders prompt and response in one and tokenises them in one (trl 1.16,
`SFTTrainer._prepare_dataset`). Scoring reads these ids: a score of others would be of a text that
nobody trains on. So a newline of the template and one of the response may be one token, a tag that
the template opens stands once, and an empty thinking part that it adds is context.

The response is found in the rendered text from its end: what a template puts after a response is
known from rendering another one. Templates may change white space; visible characters must be the
response's own.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np

from lnat_plugins.errors import DataError, StudentError
from lnat_plugins.scoring.chat import (
    ThinkingPlace,
    common_prefix,
    render,
    thinking_place,
)
from lnat_plugins.scoring.tokens import (
    Bools,
    Ids,
    ResponseTokens,
    refuse_losses,
    special_ids,
    visible_in,
)
from lnat_plugins.scoring.whole_conversations import (
    RenderedConversation,
    check_as_given,
    conversation_tokens,
    render_conversation,
    training_template,
)
from lnat_plugins.teacher_set.config import Observations
from lnat_plugins.teacher_set.prompts import Candidate, ConversationTurn, Message, Response
from lnat_plugins.teacher_set.template_columns import template_arguments
from lnat_plugins.teacher_set.whole_conversations import without_observations

_ANOTHER: Final = "3 and 4 make 7"
"""A response without tags or white space at its ends, which every template leaves as it is."""

OTHER_PROMPT: Final = "the prompt ends otherwise in training"
PROMPT_CUT: Final = "the template leaves out or changes a turn of the prompt"
OPENED: Final = "the template writes the beginning of the response itself"
TURN_CUT: Final = "the template leaves out or changes part of a turn"
SPACE: Final = "the template changes white space in the response"
MERGED: Final = "a token holds text of the template and of the response; training reads it as one"
END: Final = "the response ends with the end-of-turn token"
NOT_TRAINED: Final = "the template drops or changes part of the response"

WARNED: Final = {
    OTHER_PROMPT: "the chat template puts other text before the response in training than where "
    "the student's turn opens; the response is scored behind it, as it is trained",
    PROMPT_CUT: "the chat template leaves out or changes a turn of the prompt, such as the system "
    "turn, in scoring and in training alike",
    TURN_CUT: "the chat template leaves out or changes part of a turn, such as thinking before the "
    "last question, in scoring and in training alike",
    END: "the response ends with the student's own end-of-turn token, which is scored, and which "
    "training reads twice",
    NOT_TRAINED: "the chat template drops or changes part of the response in training; it is "
    "scored as the student would answer, and cannot be trained on in this template",
}
"""What is told to the user; the other notes only say that the ids are training's."""


def count_warned(rows: Iterable[RowTokens]) -> dict[str, int]:
    """What is to be told -> number of rows."""
    return warned(Counter(note for row in rows for note in row.notes))


def warned(notes: Mapping[str, int]) -> dict[str, int]:
    """As `count_warned`, of notes that are counted already."""
    return {text: notes[note] for note, text in WARNED.items() if notes.get(note)}


def ids_digest(prompt: Ids, response: Ids, own: Bools | None = None) -> str:
    """12 hex digits, equal for equal ids of prompt and response, and equal turns of the teacher.

    Args:
        own: see `ResponseTokens`.
    """
    found = hashlib.sha256(str(len(prompt)).encode())
    for ids in (prompt, response):
        found.update(np.asarray(ids, np.int64).tobytes())
    if own is not None:
        found.update(own.tobytes())
    return found.hexdigest()[:12]


@dataclass(frozen=True)
class RowTokens:
    """A row as token ids.

    Attributes:
        prompt: shape (P,), all before the response's first token.
        response: its T tokens.
        after: what follows in training: end of turn or of text, the template's own text.
        notes: how the row differs from the prompt where the student's turn opens followed by the
            response, of the constants above. None = it does not.
        added: what stands before the response in training, after all that it has in common with
            the prompt where the student's turn opens; see the note `OTHER_PROMPT`.
    """

    prompt: Ids
    response: ResponseTokens
    after: Ids
    notes: tuple[str, ...] = ()
    added: str = ""

    @property
    def ids(self) -> Ids:
        """All of the row as training reads it, before anything is cut."""
        return np.concatenate([self.prompt, self.response.ids, self.after])

    @property
    def n_tokens(self) -> int:
        """Tokens of the whole row."""
        return len(self.prompt) + len(self.response.ids) + len(self.after)

    @property
    def digest(self) -> str:
        """See `ids_digest`."""
        return ids_digest(self.prompt, self.response.ids, self.response.own)


class _Place(NamedTuple):
    """Where a response lies in a rendered text.

    Args:
        begin: character of `text` at which the response's first token begins, or which it holds.
        end: the character after the response.
        skipped: characters of the response before `begin`.
        at: for each character of the text the one of the response; None where the response stands
            as it is, from `begin - skipped` on.
    """

    text: str
    begin: int
    end: int
    skipped: int
    at: Ids | None
    notes: tuple[str, ...]
    added: str


class _Around(NamedTuple):
    """What stands around a response.

    Args:
        opened: the text up to where the student's turn begins.
        tail: what the template puts after a response.
        cuts_prompt: whether a turn of the prompt is not in `opened`.
    """

    opened: str
    tail: str
    cuts_prompt: bool


@dataclass
class Renderer:
    """Renders rows for one student.

    Args:
        tokenizer: the student's, fast, with the template that training will use.
        plain: see `Candidates.plain`.
        arguments: of the chat template in every row, such as `enable_thinking`; a row's own win.
        strict: whether a response that training would not see as it is, and columns for the
            template that it cannot read, are refused. If not, the response is read where the
            student's turn opens, and noted, and the columns are left out.
        observations: of conversations, see `teacher_set.config.Settings`.
    """

    tokenizer: Any
    plain: bool
    arguments: Mapping[str, Any] = field(default_factory=dict)
    strict: bool = True
    observations: Observations = "window"
    _known: tuple[Any, _Around] | None = field(default=None, init=False, repr=False)

    def row(self, row: Candidate) -> RowTokens:
        """The ids of one row.

        Raises:
            StudentError: no chat template, a tokenizer that drops text; strict, plain text: no
                end-of-text token.
            DataError: the template does not take the conversation; strict: it drops or changes
                part of the response.
        """
        return self.response(row.messages, row.response)

    def response(self, messages: Sequence[Message], response: Response) -> RowTokens:
        """As `row`, of a prompt and a response to it."""
        if response.turns is not None:
            return self._conversation(response)
        cuts_prompt = False
        if self.plain:
            place = self._plain(messages, response)
        else:
            own = template_arguments(response, strict=self.strict)
            arguments = {**self.arguments, **own}
            around = self._around(messages, arguments, response.where)
            place = self._turn(messages, response, arguments, around)
            cuts_prompt = around.cuts_prompt
        encoding = self.tokenizer(
            place.text, add_special_tokens=self.plain, return_offsets_mapping=True, verbose=False
        )
        ids = np.array(encoding["input_ids"], np.int64)
        begins, ends = np.array(encoding["offset_mapping"], np.int64).reshape(-1, 2).T
        # Special tokens that the tokenizer adds have the offsets (0, 0).
        inside = np.flatnonzero((ends > place.begin) & (begins < place.end))
        first, stop = (inside[0], inside[-1] + 1) if len(inside) else (len(ids), len(ids))
        inner = slice(first, stop)
        offsets_T2 = _in_response(place, begins[inner], ends[inner])
        visible = visible_in(response.text)
        visible[: place.skipped] = False
        refuse_losses(response.text, offsets_T2, visible, response.where)
        notes = place.notes
        if cuts_prompt:
            notes = (*notes, PROMPT_CUT)
        if len(inside) and (begins[first] < place.begin or ends[stop - 1] > place.end):
            notes = (*notes, MERGED)
        after = ids[stop:]
        if self._ends_itself(ids[inner], after):
            notes = (*notes, END)
        return RowTokens(
            ids[:first], ResponseTokens(ids[inner], offsets_T2), after, notes, place.added
        )

    @cached_property
    def place(self) -> ThinkingPlace | None:
        """Where the student's template takes a thinking part that stands apart."""
        return None if self.plain else thinking_place(self.tokenizer)

    def own(self, response: Response) -> Response:
        """The response with thinking and answer joined as the student's template does.

        One that is a conversation has the text of its turns as the template writes them.

        Where the template has no place for them, or the row brings its own steps, the text stays,
        and is the content of its turn.
        """
        if response.turns is not None:
            return replace(response, text=self._rendered(response).written)
        if response.parts is None or response.steps is not None or self.place is None:
            return response
        place, parts = self.place, response.parts
        return replace(response, text=place.join(parts), turn=place.turn(parts))

    def check_as_given(self, response: Response, given: Sequence[Mapping[str, Any]]) -> None:
        """Refuse a conversation whose turns a trainer would render otherwise than they were read.

        Args:
            given: the turns as the trainer hands them to the template.

        Raises:
            DataError: they differ.
        """
        own = template_arguments(response, strict=self.strict)
        check_as_given(
            self.tokenizer, self._training_template, self._rendered(response), given,
            {**self.arguments, **own}, response.where,
        )  # fmt: skip

    def _rendered(
        self, response: Response, turns: Sequence[ConversationTurn] | None = None
    ) -> RenderedConversation:
        if self.plain:
            raise StudentError(
                "the responses are conversations, which are read in a chat template",
                where=response.where,
                remedy="give lm_eval --apply_chat_template, or `apply_chat_template=True`",
            )
        own = template_arguments(response, strict=self.strict)
        return render_conversation(
            self.tokenizer, self._training_template, turns or response.turns or (),
            {**self.arguments, **own}, response.where,
        )  # fmt: skip

    @cached_property
    def _training_template(self) -> str:
        return training_template(self.tokenizer)

    def _conversation(self, response: Response) -> RowTokens:
        turns = response.turns or ()
        blanked = self.observations == "none"
        rendered = self._rendered(response, without_observations(turns) if blanked else turns)
        if rendered.written != response.text:
            raise DataError(
                "the student's chat template writes the turns otherwise where those of tools and "
                "users are empty"
                if blanked
                else "the student's chat template writes the turns otherwise than they were scored",
                where=response.where,
                found=rendered.written[common_prefix(rendered.written, response.text) :][:80],
                remedy="leave out `observations: none`"
                if blanked
                else "use the template that they were scored with",
            )
        notes = (TURN_CUT,) if rendered.cut else ()
        tokens = conversation_tokens(
            self.tokenizer, rendered, response.where, show_all=self.observations == "all"
        )
        return RowTokens(*tokens, notes)

    def _ends_itself(self, own: Ids, after: Ids) -> bool:
        last = own[-1:].tolist()
        ends = {self.tokenizer.eos_token_id, *after[:1].tolist()} & self._special
        return any(token in ends for token in last)

    @cached_property
    def _special(self) -> frozenset[int]:
        return special_ids(self.tokenizer)

    def _plain(self, messages: Sequence[Message], response: Response) -> _Place:
        prompt, text = messages[0]["content"], response.text
        end = self.tokenizer.eos_token or ""
        if self.strict and not end:
            raise StudentError(
                "the student's tokenizer has no end-of-text token, so TRL cannot train on plain "
                "text",
                found=type(self.tokenizer).__name__, remedy="set its `eos_token`",
            )  # fmt: skip
        begin = len(prompt)
        tail = "" if text.endswith(end) else end
        return _Place(prompt + text + tail, begin, begin + len(text), 0, None, (), "")

    def _turn(
        self,
        messages: Sequence[Message],
        response: Response,
        arguments: Mapping[str, Any],
        around: _Around,
    ) -> _Place:
        opened, tail, _ = around
        turn = response.turn or response.text
        text = render(self.tokenizer, messages, turn, arguments=arguments, where=response.where)
        place = _find(text, opened, tail, response.text)
        if place is None and text.endswith(response.text):
            # Some templates end a turn only where the reply has not ended it.
            place = _find(text, opened, "", response.text)
        if place is not None:
            return place
        if self.strict:
            raise DataError(
                "the student's chat template drops or changes part of the response in training",
                where=response.where, found=text[-80:],
                remedy="use a template that keeps it (many drop what stands before `</think>`; "
                "see `chat_template_path`), or give `prompt` and `completion` as plain text",
            )  # fmt: skip
        begin = len(opened)
        end = begin + len(response.text)
        return _Place(opened + response.text, begin, end, 0, None, (NOT_TRAINED,), "")

    def _around(
        self, messages: Sequence[Message], arguments: Mapping[str, Any], where: str
    ) -> _Around:
        """Kept for the last prompt."""
        key = (messages, arguments)
        if self._known is None or self._known[0] != key:
            options: dict[str, Any] = {"arguments": arguments, "where": where}
            opened = render(self.tokenizer, messages, **options)
            whole = render(self.tokenizer, messages, _ANOTHER, **options)
            visible = "".join(opened.split())
            cuts = any(
                "".join(turn["content"].split()) not in visible
                for turn in messages
                if turn["role"] != "assistant"  # templates leave earlier thinking out
            )
            self._known = (key, _Around(opened, whole.rpartition(_ANOTHER)[2], cuts))
        return self._known[1]


def _find(text: str, opened: str, tail: str, response: str) -> _Place | None:
    """The response in the rendered text; None where its visible characters are not there."""
    if not text.endswith(tail):
        return None
    end = len(text) - len(tail)
    at = None
    start = end - len(response)
    if not text.endswith(response, 0, end):
        matched = _match(text[:end], response)
        if matched is None:
            return None
        start, at = matched
    common = common_prefix(opened, text[:end])
    spaced = at is not None and text[common:start].isspace() and response[:1].isspace()
    # Whole tags, not the first character of another one.
    opened_too = text[start:common].rstrip().endswith((">", "]", "▷")) and bool(
        text[common:end].strip()
    )
    begin = common if opened_too or spaced else start
    skipped = 0
    notes = () if at is None else (SPACE,)
    if opened_too:
        notes = (OPENED, *notes)
        skipped = common - start if at is None else int(at[common])
    elif text[:begin] != opened:
        notes = (OTHER_PROMPT, *notes)
    return _Place(text, begin, end, skipped, at, notes, text[common:begin])


def _match(text: str, response: str) -> tuple[int, Ids] | None:
    """Where the response begins, and for each character of the text that of the response.

    By visible characters alone; None if the text does not end with those of the response. White
    space is the white space after the visible character before it; where the response has none,
    that character.
    """
    places, own = np.flatnonzero(visible_in(text)), np.flatnonzero(visible_in(response))
    if not len(own) or len(places) < len(own):
        return None
    places = places[-len(own) :]
    if any(text[i] != response[j] for i, j in zip(places.tolist(), own.tolist(), strict=True)):
        return None
    followed = np.append(~visible_in(response), False)[own + 1]
    last = np.searchsorted(places, np.arange(len(text)), side="right") - 1
    at = np.where(last < 0, 0, (own + followed)[last])
    at[places] = own
    return int(places[0]), at


def _in_response(place: _Place, begins: Ids, ends: Ids) -> Ids:
    """Character offsets in the rendered text as those in the response, shape (T, 2)."""
    begins, ends = begins.clip(min=place.begin), ends.clip(max=place.end)
    if place.at is None:
        shift = place.begin - place.skipped
        return np.stack([begins - shift, ends - shift], axis=-1)
    return np.stack([place.at[begins], place.at[ends - 1] + 1], axis=-1)
