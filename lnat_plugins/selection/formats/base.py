"""A format: which files a trainer reads, what it makes of a row's weight, and what it cannot read.

A format is an entry of `FORMATS`. Where a trainer has no place for what was chosen, such as a
weight, that is a remark, on the screen and in the card; what it would read otherwise than it was
scored is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.formatting import plural
from lnat_plugins.selection.answers import as_trained
from lnat_plugins.selection.arrange import SEQUENTIAL
from lnat_plugins.selection.formats.columns import Columns, conversation, provenance, turns
from lnat_plugins.selection.result import Selection
from lnat_plugins.teacher_set.prompts import READ_BY_TEMPLATE, Candidate, Candidates

PARQUET: Final = "data/train.parquet"
JSON_LINES: Final = "data/train.jsonl"


@dataclass(frozen=True)
class Chosen:
    """What a format writes.

    Attributes:
        candidates, selection: the rows, and which of them are chosen.
        rejected: for pairs, the best wrong row of each prompt.
        longest: tokens of the longest row as training reads it; None where that is not known.
        folder: where the files will be.
        settings: keys of `trl sft` that its config takes over.
    """

    candidates: Candidates
    selection: Selection
    rejected: Selection | None = None
    longest: int | None = None
    folder: Path = Path()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def rows(self) -> list[Candidate]:
        """The rows of the training set, in its order, each as often as it stands there."""
        return as_trained(self.selection, self.candidates)

    @property
    def student(self) -> str:
        """The student's name; of a path its last part, as where it lay is of no use elsewhere."""
        path = Path(self.selection.student)
        return path.name if path.is_absolute() or path.is_dir() else self.selection.student

    @property
    def provenance(self) -> Columns:
        """The columns `lnat_...` of the chosen rows."""
        found = provenance(self.rows, self.selection.scores, self.selection.row_weights)
        return {**found, **self.answers_only()}

    def answers_only(self, positions: Sequence[int] | None = None) -> Columns:
        """Which rows hold their answers alone, where the choice mixes them; of all or of some."""
        if not self.selection.mixes_answers:
            return {}
        only = {*self.selection.answers_only}
        found = [row.index in only for row in self.rows]
        kept = found if positions is None else [found[i] for i in positions]
        return {"lnat_answer_only": (pa.bool_(), kept)}


def _no_check(chosen: Chosen) -> None:
    """Everything that was scored can be written."""


def _no_remarks(chosen: Chosen) -> list[str]:
    """Nothing to say beyond the weights and the turns."""
    return []


@dataclass(frozen=True)
class Format:
    """How chosen rows are written for a trainer.

    Attributes:
        name: after `--format`.
        trainer: name and version whose source or documentation this follows.
        holds: what the data file's columns are, for the card.
        training: chosen rows -> how to train on them, in Markdown, from the folder.
        tables: data file -> its columns; the first is the one that the Hub shows. No columns: the
            file is not written.
        texts: further file -> its text.
        weight: where the trainer reads a row's weight; "" if it has no place for it.
        needs: what must be known of the student: "longest", "rejected".
        earlier: what the trainer does with assistant turns in a prompt: "left alone", or
            "trained", which is a remark.
        turns: "whole" if all keys of a turn, and the row's tools, reach its template; "simple" if
            only role and content do; "alternating" if users and assistants must alternate too.
        check: refuses what could not be written, or would be read otherwise.
        remarks: further lines for screen and card.
        command: of TRL's, and its config.
        strategy: what chooses if nothing else is asked for.
        others: whether the rows' other columns are written too.
        conversations: whether it holds responses that are conversations, trained on turn by turn.
        tags: on the Hub.
    """

    name: str
    trainer: str
    holds: str
    training: Callable[[Chosen], str]
    tables: Mapping[str, Callable[[Chosen], Columns]]
    texts: Mapping[str, Callable[[Chosen], str]] = field(default_factory=dict)
    weight: str = ""
    needs: Literal["", "longest", "rejected"] = "longest"
    earlier: Literal["left alone", "trained"] = "left alone"
    turns: Literal["whole", "simple", "alternating"] = "whole"
    check: Callable[[Chosen], None] = _no_check
    remarks: Callable[[Chosen], list[str]] = _no_remarks
    command: tuple[str, str] | None = None
    strategy: str = "best"
    others: bool = False
    conversations: bool = False
    tags: tuple[str, ...] = ("sft",)

    @property
    def data(self) -> str:
        """The data file that the Hub shows."""
        return next(iter(self.tables))

    @property
    def files(self) -> tuple[str, ...]:
        """All files that it may write."""
        return (*self.tables, *self.texts)

    def refuse(self, chosen: Chosen) -> None:
        """Refuse rows that the trainer would not read as they were scored.

        Raises:
            ConfigError: plain text, for a trainer of conversations.
            DataError: a conversation that the trainer would skip, or read in part.
        """
        for row in chosen.rows:
            self._refuse_conversation(row)
        if self.turns != "whole" and not chosen.candidates.plain:
            for row in chosen.rows:
                self._refuse_turns(row)
        self.check(chosen)

    def _refuse_conversation(self, row: Candidate) -> None:
        turns = row.response.turns
        if turns is None:
            return
        if not self.conversations:
            raise DataError(
                f"the format {self.name} holds one turn a response, and this is a conversation",
                where=row.where, found=f"{len(turns)} turns", remedy="give --format trl",
            )  # fmt: skip

    def _refuse_turns(self, row: Candidate) -> None:
        trainer = self.trainer.split(" ")[0]
        more = {key for turn in conversation(row) for key in turn} - {"role", "content"}
        more |= {name for name in READ_BY_TEMPLATE if row.response.extra.get(name)}
        if more:
            raise DataError(
                f"{trainer} would not read all of this conversation as it was scored",
                where=row.where, found=sorted(more), remedy="give --format trl",
            )  # fmt: skip
        if self.turns == "alternating":
            roles = [turn["role"] for turn in row.messages]
            of_turns = roles[1:] if roles[0] == "system" else roles
            users, assistants = set(of_turns[::2]), set(of_turns[1::2])
            alternate = users <= {"user", "tool"} and assistants <= {"assistant"}
            if not alternate or len(of_turns) % 2 == 0:
                raise DataError(
                    f"{trainer} would skip this conversation: its turns do not alternate",
                    where=row.where, found=roles, remedy="join its turns, or give --format trl",
                )  # fmt: skip

    def said(self, chosen: Chosen) -> list[str]:
        """What this trainer does not do with the chosen rows, and what must be given to it."""
        lines = self.remarks(chosen)
        if chosen.selection.weighted and not self.weight:
            reader = f"`trl {self.command[0]}`" if self.command else self.trainer
            lines.append(
                f"The rows differ in weight (`lnat_weight`); {reader} reads no weights of rows, "
                "and trains on all of them alike."
            )
        if chosen.selection.settings.get("order"):
            how = (
                f"set `{next(iter(SEQUENTIAL))}: sequential`"
                if self.command
                else "it must not shuffle them"
            )
            lines.append(f"The rows stand in the order of training: {how}.")
        if self.earlier == "trained":
            count = sum(any(t["role"] == "assistant" for t in row.messages) for row in chosen.rows)
            if count:
                lines.append(
                    f"The prompts of {plural(count, 'row')} hold assistant turns: {self.trainer} "
                    "trains on them too, though only the response was scored."
                )
        return lines


def need_conversations(chosen: Chosen) -> None:
    """Refuse plain text where a trainer would put its template around it (ConfigError)."""
    if chosen.candidates.plain:
        raise ConfigError(
            "prompts that are plain text cannot be written as `messages`",
            remedy="write them with --format trl; or score them as conversations (lm_eval "
            "--apply_chat_template) and choose again",
        )


def messages(chosen: Chosen) -> Columns:
    """`messages` and provenance."""
    return {"messages": turns([conversation(row) for row in chosen.rows]), **chosen.provenance}


def longest_row(chosen: Chosen, setting: str) -> str:
    """What to set a trainer's limit of tokens to, a sentence."""
    if chosen.longest is None:
        return (
            f"Set `{setting}` to the tokens of the longest row, which could not be counted (the "
            "student's tokenizer cannot be loaded)."
        )
    return (
        f"The longest row has {chosen.longest} tokens by the student's tokenizer and template: "
        f"`{setting}` must not be below."
    )
