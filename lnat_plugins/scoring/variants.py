"""Local naturalness scored in other ways on a sample of the prompts (`sensitivity: full`).

What can be had from the step sums of a run needs no second reading; a finer cut, or a window that
grows with the trace, does. It is read for a sample of the prompts only, so that it costs little.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Final

from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.scorer import Prepared, Scorer
from lnat_plugins.steps import parse_steps
from lnat_plugins.steps.windows import parse_window

SAMPLE: Final = 20
"""Prompts that are scored in further ways."""


def sampled(n_prompts: int) -> frozenset[int]:
    """The indices of the prompts of the sample, evenly spread; all if there are no more."""
    count = min(SAMPLE, n_prompts)
    return frozenset(i * n_prompts // count for i in range(count))


def scorers_of_variants(scorer: Scorer) -> dict[str, Scorer]:
    """Name of the variant -> a scorer that differs in that alone, and gathers nothing else.

    Steps by `line` (by `sentence` where they are lines already), and a window of 10 % of the
    preceding steps (of 4 steps where the first window is a share already).
    """
    first = scorer.windows[0]
    lines = scorer.spec.splitter is not None and scorer.spec.splitter.name == "line"
    steps, window = ("sentence" if lines else "line"), ("4" if first.share else "10%")
    spec = parse_steps(steps, markers=scorer.spec.markers)
    bare = dataclasses.replace(scorer, statistics=frozenset(), tokens=False, windows=(first,))
    return {
        f"steps {steps}": dataclasses.replace(bare, spec=spec),
        f"window {window}": dataclasses.replace(bare, windows=(parse_window(window),)),
    }


def with_variants(
    scorer: Scorer, prepared: Prepared, records: Sequence[StepSums]
) -> list[StepSums]:
    """The records of one prompt's responses, each with its local naturalness in every variant."""
    variants: list[dict[str, float]] = [{} for _ in records]
    undefined: list[dict[str, str]] = [{} for _ in records]
    for name, other in scorers_of_variants(scorer).items():
        window = other.windows[0].name
        for i, record in enumerate(other.score(prepared.prompt, prepared.responses)):
            means = record.step_means(window)
            variants[i][name] = math.fsum(means) / len(means) if means else math.nan
            if math.isnan(variants[i][name]):
                undefined[i][name] = record.undefined.get(window, "the back end gives no steps")
    return [
        dataclasses.replace(record, variants=values, undefined={**record.undefined, **reasons})
        for record, values, reasons in zip(records, variants, undefined, strict=True)
    ]
