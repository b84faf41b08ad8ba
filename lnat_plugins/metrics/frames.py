"""Scores as pandas tables: a row a response, or a row a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lnat_plugins.metrics.base import Metric
from lnat_plugins.scoring.record import ScoredResponse

if TYPE_CHECKING:
    import pandas


def responses(
    rows: Sequence[ScoredResponse], windows: Sequence[str], metrics: Mapping[str, Metric]
) -> pandas.DataFrame:
    """A row a response: prompt, teacher, sample, verdict, every metric for every window.

    Args:
        windows: those scored; a metric that reads one has one column a window, such as
            `local_naturalness[4]`.
        metrics: name -> metric; those whose statistics no record holds have no column.
    """
    import pandas

    records = [row.record for row in rows]
    columns: dict[str, Sequence[Any]] = {
        name: [getattr(row, name) for row in rows]
        for name in ("prompt_id", "teacher", "sample", "correct")
    }
    gathered = {
        name
        for record in records
        for name in (*record.statistics, *record.step_statistics, *record.undefined)
    }
    for name, metric in metrics.items():
        if not metric.needs <= gathered:
            continue
        if metric.reads == "window":
            for window in windows:
                columns[f"{name}[{window}]"] = metric.rate(rows, window).values
        elif metric.window_read("") in (None, *windows):
            columns[name] = metric.rate(rows, "").values
    return pandas.DataFrame(columns)


def tokens(rows: Sequence[ScoredResponse]) -> pandas.DataFrame:
    """A row a token: what was scored of it, and its log-probability under every window.

    Columns: prompt_id, teacher, sample, step (from 0), token (from 0), token_id, text (the
    characters from where the token before ends), scored (False for tokens of tags, which no score
    counts), `logprob[WINDOW]` in nats for the windows asked for (NaN where the step did not fit),
    and the statistics of tokens that were gathered (rank, entropy, Brier).

    Responses whose record keeps no tokens have no rows: `tokens: false`, an older samples file, or
    a back end without log-probabilities of tokens.
    """
    import pandas

    parts = []
    for row in rows:
        if row.record.token_values is None:
            continue
        arrays = row.record.token_values.arrays(row.where)
        ends, bounds = arrays.pop("ends"), arrays.pop("bounds")
        begins = [0, *ends[:-1].tolist()]
        columns = {
            "prompt_id": row.prompt_id,
            "teacher": row.teacher,
            "sample": row.sample,
            "step": np.repeat(np.arange(len(bounds) - 1), np.diff(bounds)),
            "token": np.arange(len(ends)),
            "token_id": arrays.pop("ids"),
            "text": [row.text[a:b] for a, b in zip(begins, ends.tolist(), strict=True)],
        }
        parts.append(pandas.DataFrame({**columns, **arrays}))
    return pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame()
