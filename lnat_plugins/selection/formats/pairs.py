"""Pairs for preference training: the chosen row of a prompt against its best wrong row.

A wrong row with its label teaches what a correct one cannot ("Turning Dust into Gold", arXiv
2312.12832). The better the wrong row scores, the likelier the student is to write it. A pair is a
chosen row that is known to be correct, and the wrong row of its prompt that scores best by the
selection's metric, in TRL's format with an explicit prompt (trl 1.16, `trl dpo`).
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from lnat_plugins.errors import DataError
from lnat_plugins.formatting import plural
from lnat_plugins.selection.formats.base import PARQUET, Chosen, Format
from lnat_plugins.selection.formats.columns import (
    Columns,
    others,
    prompts,
    provenance,
    responses,
)
from lnat_plugins.selection.formats.trl import config, training
from lnat_plugins.teacher_set.prompts import READ_BY_TEMPLATE, Candidate

DPO_CONFIG: Final = "dpo.yaml"

_NONE_CHOSEN: Final = "no row of theirs was chosen"
_NOT_CORRECT: Final = "the row chosen is not known to be correct"
_NONE_WRONG: Final = "no row that could be rejected is known to be wrong"
_SAME: Final = "the same text is given as correct and as wrong"


def pairs(chosen: Chosen) -> list[tuple[int, Candidate]]:
    """(position among the chosen rows, rejected row) of each pair, in order."""
    found, _ = _sorted_out(chosen)
    return found


def _sorted_out(chosen: Chosen) -> tuple[list[tuple[int, Candidate]], Counter[str]]:
    """The pairs, and why prompts have none -> their number."""
    indices = () if chosen.rejected is None else chosen.rejected.indices
    wrong = {row.prompt_id: row for row in (chosen.candidates.rows[i] for i in indices)}
    found = []
    why: dict[str, str] = dict.fromkeys(chosen.selection.prompts, _NONE_CHOSEN)
    for position, row in enumerate(chosen.rows):
        other = wrong.get(row.prompt_id)
        if not row.response.correct:
            problem = _NOT_CORRECT
        elif other is None:
            problem = _NONE_WRONG
        else:
            problem = _SAME if other.text == row.text else ""
        if other is not None and not problem:
            found.append((position, other))
        if why[row.prompt_id]:  # one pair is enough for a prompt to have one
            why[row.prompt_id] = problem
    return found, Counter(filter(None, why.values()))


def columns(chosen: Chosen) -> Columns:
    """`prompt`, `chosen`, `rejected`, and the provenance of both."""
    found = pairs(chosen)
    rows = [chosen.rows[position] for position, _ in found]
    wrong = [row for _, row in found]
    plain = chosen.candidates.plain
    every = chosen.selection.row_weights
    weights = [every[position] for position, _ in found]
    rejected = chosen.selection if chosen.rejected is None else chosen.rejected
    return {
        **prompts(rows, plain),
        **responses("chosen", rows, plain),
        **responses("rejected", wrong, plain),
        **provenance(rows, chosen.selection.scores, weights),
        **provenance(wrong, rejected.scores, prefix="lnat_rejected_"),
        **({} if plain else others(rows, plain, only=READ_BY_TEMPLATE)),
    }


def check(chosen: Chosen) -> None:
    """Refuse a choice that gives no pair (DataError)."""
    found, why = _sorted_out(chosen)
    if not found:
        raise DataError(
            f"the selection gives no pair ({_in_words(why)})",
            remedy="choose among correct rows (require_correct), or take a set with wrong rows too",
        )


def remarks(chosen: Chosen) -> list[str]:
    """How many pairs there are, and why prompts have none."""
    found, why = _sorted_out(chosen)
    prompts_in_pairs = {chosen.rows[position].prompt_id for position, _ in found}
    line = (
        f"Pairs: {len(found)}, of {len(prompts_in_pairs)} of {len(set(chosen.selection.prompts))} "
        "prompts."
    )
    if why:
        line += f" Without one: {_in_words(why)}."
    if why[_NOT_CORRECT]:
        line += " With `require_correct` the best correct row is chosen."
    return [line]


def _in_words(why: Counter[str]) -> str:
    return "; ".join(f"{plural(count, 'prompt')}: {reason}" for reason, count in why.items())


PREFERENCE: Final = Format(
    name="preference",
    trainer="TRL",
    holds="`prompt`, `chosen` and `rejected`: the chosen row, known to be correct, against the "
    "wrong row of the prompt that scores best. `lnat_...` is of the chosen row, "
    "`lnat_rejected_...` of the rejected one",
    training=lambda _: training("dpo"),
    tables={PARQUET: columns},
    texts={DPO_CONFIG: lambda chosen: config(chosen, DPO_CONFIG)},
    needs="rejected",
    check=check,
    remarks=remarks,
    command=("dpo", DPO_CONFIG),
    tags=("dpo", "preference", "trl"),
)
