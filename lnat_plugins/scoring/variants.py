"""Which windows are recorded beside those asked for, and scores in other ways on a sample.

The windows below the widest come out of its runs, but for the last steps of a response, which need
runs of their own: 2 % more tokens for 80 steps and a window of 4, three times as many for 5 steps.
So they are recorded for every response where that is cheap, else for a sample of the prompts. A
finer cut, or a window that grows with the trace, needs another reading: on the sample alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from lnat_plugins.engine.types import CALIBRATION, TEMPERED
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.scorer import Prepared, Scorer
from lnat_plugins.steps import SPLITTERS, StepSpec, parse_steps
from lnat_plugins.steps.windows import Pair, Window, parse_window, plan_runs

SAMPLE: Final = 20
"""Prompts that are scored in further ways."""


CHEAP: Final = 0.15
"""More steps to read for the narrower windows than this share: they are recorded on the sample."""

_CHARACTERS_A_TOKEN: Final = 4


def narrower_are_cheap(texts: Iterable[str], spec: StepSpec, windows: Sequence[Window]) -> bool:
    """Whether the windows below the widest cost next to nothing for these responses.

    Counted in steps that are read after the prompt, over all responses; no token is needed.
    """
    widest = max((window.count or 0 for window in windows), default=0)
    asked = more = 0
    for text in texts:
        n_steps = _count_steps(text, spec)
        pairs = {pair for window in windows for pair in window.pairs(n_steps)}
        narrower = {
            pair for count in range(widest) for pair in Window(str(count), count).pairs(n_steps)
        }
        asked += _steps_read(pairs)
        more += _steps_read(pairs | narrower)
    return more <= (1 + CHEAP) * asked


def _count_steps(text: str, spec: StepSpec) -> int:
    """Of tokens, and of supplied steps, a guess."""
    if spec.kind == "tokens":
        return 1 + len(text) // (_CHARACTERS_A_TOKEN * (spec.n or 1))
    return len((spec.splitter or SPLITTERS["sentence"]).cut(text))


def _steps_read(pairs: Iterable[Pair]) -> int:
    return sum(run.stop - run.start for run in plan_runs(pairs))


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
    bare = dataclasses.replace(
        scorer, statistics=frozenset(), tokens=False, narrower=False,
        windows=(first,),
    )  # fmt: skip
    return {
        f"steps {steps}": dataclasses.replace(bare, spec=spec),
        f"window {window}": dataclasses.replace(bare, windows=(parse_window(window),)),
    }


BINS: Final = 15
"""Of the top-1 probability, for the expected calibration error (arXiv 2302.11472)."""

_CALIBRATION: Final = frozenset({"brier", *CALIBRATION})


def with_variants(
    scorer: Scorer, prepared: Prepared, records: Sequence[StepSums]
) -> list[StepSums]:
    """The records of one prompt's responses, each with its local naturalness in every variant.

    And with its calibration, where the back end gives the numbers of tokens.
    """
    calibrations = _calibrations(scorer, prepared) or [{} for _ in records]
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
        dataclasses.replace(
            record, variants=values, calibration=calibration,
            undefined={**record.undefined, **reasons},
        )
        for record, values, calibration, reasons in zip(
            records, variants, calibrations, undefined, strict=True
        )
    ]  # fmt: skip


def _calibrations(scorer: Scorer, prepared: Prepared) -> list[dict[str, list[float]]]:
    if not scorer.backend.shares_runs:
        return []
    whole = dataclasses.replace(
        scorer,
        statistics=_CALIBRATION,
        tokens=True,
        narrower=False,
        windows=(parse_window("global"),),
    )
    return [calibration_of(one) for one in whole.score(prepared.prompt, prepared.responses)]


def calibration_of(record: StepSums) -> dict[str, list[float]]:
    """How well the student's probabilities of the response's tokens fit them, whole context.

    Args:
        record: with the numbers of tokens.

    Returns:
        Sums over the scored tokens; empty where the whole trace has no score.

        - count, confidence, right: `BINS` each, the tokens whose top-1 probability lies in the bin
          (k/15, (k + 1)/15], the sum of that probability, and how many the top-1 token is right on;
        - brier: [Σ 1 − 2 p_y + Σ p²];
        - nll: −Σ log p at temperature 1 and then at each of `engine.types.TEMPERATURES`;
        - step_mean: at the same temperatures the mean over steps of their mean log p.
    """
    if record.token_values is None or "global" in record.undefined:
        return {}
    arrays = record.token_values.arrays()
    scored = arrays["scored"]
    top, right = arrays["top_probability"][scored], arrays["top_is_right"][scored]
    bin_N = np.clip(np.ceil(top * BINS).astype(int) - 1, 0, BINS - 1)
    logprobs = [arrays["logprob[global]"], *(arrays[name] for name in TEMPERED)]
    step_T = np.repeat(np.arange(record.n_steps), np.diff(arrays["bounds"]))[scored]
    counts = np.bincount(step_T, minlength=record.n_steps)
    means = [np.bincount(step_T, one[scored]) / counts for one in logprobs]
    return {
        "count": np.bincount(bin_N, minlength=BINS).astype(float).tolist(),
        "confidence": np.bincount(bin_N, top, minlength=BINS).tolist(),
        "right": np.bincount(bin_N, right, minlength=BINS).tolist(),
        "brier": [float(arrays["brier"][scored].sum(dtype=float))],
        "nll": [-float(one[scored].sum(dtype=float)) for one in logprobs],
        "step_mean": [float(one.mean()) for one in means],
    }
