"""A value by lot, a control: what a score achieves beyond this is not luck."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Final

from lnat_plugins.metrics.base import Metric, Scored

SEED: Final = 1234


def random(rows: Sequence[Scored], window: str = "") -> list[float]:
    """Uniform in [0, 1), from a fixed seed and the response's prompt, teacher and sample.

    The same response has the same value in every run, whatever else is scored, by any student.

    Unit: none. Higher is better by decree, so that it can be ranked by and compared with.
    Aggregation: mean over prompts.

    Source: ours, a control.

    Args:
        rows: responses to one prompt.
        window: ignored.
    """
    return [_draw(row.prompt_id, row.teacher, row.record.sample) for row in rows]


def _draw(prompt_id: str, teacher: str, sample: int | str) -> float:
    # As JSON, in which no two triples read the same.
    key = json.dumps([SEED, prompt_id, teacher, sample]).encode()
    bits = int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 11
    return bits / 2**53


METRIC = Metric(
    name="random",
    higher_is_better=True,
    scope="prompt",
    unit="none",
    source="ours: a control",
    aggregate="mean",
    compute=random,
    reads="counts",
)
