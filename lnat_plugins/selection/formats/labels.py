"""Chosen rows with a label, for training on correct and wrong rows alike (KTO).

The rows are those that the selection chose and whose verdict is known, in TRL's format for
unpaired preferences (trl 1.16, `trl kto`). Nothing else being asked for, the strategy is `all`.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

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

KTO_CONFIG: Final = "kto.yaml"


def labelled(chosen: Chosen) -> list[int]:
    """Positions among the chosen rows of those known to be correct or wrong."""
    return [i for i, row in enumerate(chosen.rows) if row.response.correct is not None]


def columns(chosen: Chosen) -> Columns:
    """`prompt`, `completion`, `label`, provenance, and the rows' other columns."""
    positions = labelled(chosen)
    rows = [chosen.rows[i] for i in positions]
    plain, weights = chosen.candidates.plain, chosen.selection.row_weights
    return {
        **prompts(rows, plain),
        **responses("completion", rows, plain),
        "label": (pa.bool_(), [row.response.correct for row in rows]),
        **provenance(rows, chosen.selection.scores, [weights[i] for i in positions]),
        **chosen.answers_only(positions),
        **others(rows, plain),
    }


def check(chosen: Chosen) -> None:
    """Refuse rows of one label alone (DataError): there is nothing to tell apart."""
    labels = {chosen.rows[i].response.correct for i in labelled(chosen)}
    if labels != {True, False}:
        missing = "correct" if True not in labels else "wrong"
        raise DataError(
            f"no chosen row is known to be {missing}, and KTO needs both",
            remedy="choose with strategy `all`, without require_correct, from rows that say "
            "whether they are correct",
        )


def remarks(chosen: Chosen) -> list[str]:
    """How many rows have which label, and how many none."""
    correct = sum(bool(row.response.correct) for row in chosen.rows)
    known = len(labelled(chosen))
    line = f"Labels: {correct} true, {known - correct} false."
    if rest := len(chosen.rows) - known:
        line += f" Left out: {plural(rest, 'chosen row')} not known to be correct or wrong."
    return [line]


KTO: Final = Format(
    name="kto",
    trainer="TRL",
    holds="`prompt`, `completion` and `label`: whether the row is correct",
    training=lambda _: training("kto"),
    tables={PARQUET: columns},
    texts={KTO_CONFIG: lambda chosen: config(chosen, KTO_CONFIG)},
    needs="",
    others=True,
    check=check,
    remarks=remarks,
    command=("kto", KTO_CONFIG),
    strategy="all",
    tags=("kto", "trl"),
)
