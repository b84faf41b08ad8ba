"""Two students' scores of one teacher set, joined on the response.

The scores of the first student come back, each record with what the second one gave the same
tokens. A response that they did not read alike has no such number, and its record says why.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from lnat_plugins.engine.types import OTHER_LOG_PROB
from lnat_plugins.errors import ConfigError
from lnat_plugins.scoring.record import ScoredResponse, StepSums
from lnat_plugins.scoring.samples import ScoredSet

_GLOBAL: Final = "global"
NO_PARTNER: Final = "the other student has no score of it"
OTHER_PROMPT: Final = "the other student scored the answer to another prompt of that id"
OTHER_TEXT: Final = "the other student scored another text of that prompt, teacher and sample"
OTHER_TOKENS: Final = "the other student read other tokens"


def contrasted(positive: ScoredSet, negative: ScoredSet) -> ScoredSet:
    """The first student's scores, joined with the second's by prompt, teacher and sample.

    Each record holds `other_log_prob`, among its statistics or, with the reason, in `undefined`.
    Prompt, text and token ids must be equal (of older records, which do not hold the ids, the
    number of scored tokens). What the second student alone has scored is left out.

    Raises:
        ConfigError: scores of two tasks.
    """
    if positive.task != negative.task:
        raise ConfigError(
            "two students are compared on one teacher set, and these are scores of two",
            found=f"{positive.task}, {negative.task}",
            remedy="name scores of the same task",
        )
    partners = {(row.prompt_id, row.teacher, row.sample): row for row in negative.rows}
    rows = []
    for row in positive.rows:
        other = partners.get((row.prompt_id, row.teacher, row.sample))
        reason = _problem(row, other)
        record = row.record
        if reason:
            told = {**record.undefined, OTHER_LOG_PROB: reason}
            record = replace(record, undefined=told)
        elif other is not None:
            number = {OTHER_LOG_PROB: other.record.totals[_GLOBAL]}
            record = replace(record, statistics={**record.statistics, **number})
        rows.append(replace(row, record=record))
    files = tuple(dict.fromkeys((*positive.files, *negative.files)))
    return replace(positive, rows=tuple(rows), files=files)


def _problem(row: ScoredResponse, other: ScoredResponse | None) -> str:
    """Why the two have no number in common; "" if they have one."""
    if other is None:
        return NO_PARTNER
    if row.candidate.messages != other.candidate.messages:
        return OTHER_PROMPT
    if row.text != other.text:
        return OTHER_TEXT
    ours, theirs = row.record, other.record
    known = ours.ids_digest and theirs.ids_digest
    if (known and ours.ids_digest != theirs.ids_digest) or ours.n_tokens != theirs.n_tokens:
        return OTHER_TOKENS
    for record, whose in ((ours, ""), (theirs, "the other student: ")):
        if why := _without_total(record):
            return whose + why
    return ""


def _without_total(record: StepSums) -> str:
    if not math.isnan(record.totals.get(_GLOBAL, math.nan)):
        return ""
    return record.undefined.get(_GLOBAL, f"window {_GLOBAL!r} was not scored")
