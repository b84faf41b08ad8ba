"""What of the chosen rows training will cut or drop, told before it begins."""

from __future__ import annotations

import logging
from typing import Any

from datasets import Dataset

from lnat_plugins.errors import ConfigError
from lnat_plugins.scoring.student import LocalStudent
from lnat_plugins.selection import Selection
from lnat_plugins.selection.answers import as_trained
from lnat_plugins.teacher_set import Candidates

_log = logging.getLogger(__name__)


def check_lengths(
    trainer: Any,
    tokenized: Dataset | None,
    candidates: Candidates,
    student: LocalStudent,
    selection: Selection,
) -> None:
    """Warn of chosen rows that training will cut; refuse ones that were tokenised otherwise."""
    limit = trainer.args.max_length
    if tokenized is None and limit is None:
        return
    rows = as_trained(selection, candidates, selection.indices)
    # Too many ids to hold those of all rows.
    lengths = student.training_tokens(rows)
    ends = getattr(trainer.args, "truncation_mode", "") == "keep_end"
    if tokenized is not None:
        kept = slice(None) if limit is None else slice(-limit, None) if ends else slice(limit)
        for row, ids in zip(rows, student.training_ids(rows), strict=True):
            if list(tokenized[row.index]["input_ids"]) != ids[kept]:
                raise ConfigError(
                    "the row's `input_ids` are not those of its text",
                    where=row.where,
                    remedy="give the trainer rows without `input_ids`",
                )
    longer = 0 if limit is None else sum(length > limit for length in lengths)
    if longer and trainer.is_world_process_zero():
        cut, turns = student.turns_cut(rows, limit, from_start=ends)
        of_turns = f", and {cut} of all {turns} turns of assistants lose tokens" if turns else ""
        _log.warning(
            "%d of %d chosen rows are longer than SFTConfig.max_length=%d (the longest has %d "
            "tokens): they were scored whole and will be trained cut%s. Raise max_length, or set "
            "`max_length: %d` in the selection to choose among the rows that fit.",
            longer, len(lengths), limit, max(lengths), of_turns, limit,
        )  # fmt: skip


def check_dropped(chosen: int, left: int) -> None:
    """Refuse a choice of which TRL leaves no row, and warn of rows that it drops."""
    if not left:
        raise ConfigError(
            "TRL drops every chosen row: their prompts alone fill `max_length`",
            found=f"{chosen} rows",
            remedy="raise SFTConfig's max_length",
        )
    if left < chosen:
        _log.warning(
            "TRL drops %d of %d chosen rows, whose prompts alone fill max_length.",
            chosen - left, chosen,
        )  # fmt: skip
