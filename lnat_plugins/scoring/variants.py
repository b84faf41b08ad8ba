"""The scores of a prompt's responses in the ways of the sample, and the student's calibration."""

from __future__ import annotations

import dataclasses
import math
from typing import Final

import numpy as np

from lnat_plugins.engine.types import CALIBRATION, TEMPERED
from lnat_plugins.scoring.backend import PromptCalls
from lnat_plugins.scoring.prepared import Prepared
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.scorer import Scorer
from lnat_plugins.scoring.ways import ways_on_sample
from lnat_plugins.steps import Markers, parse_steps
from lnat_plugins.steps.prefix import Prefix
from lnat_plugins.steps.windows import parse_window


def scorers_of_variants(scorer: Scorer) -> dict[str, Scorer]:
    """Name of the variant -> a scorer that differs in that alone, and gathers nothing else."""
    spec, first = scorer.spec, scorer.windows[0]
    bare = dataclasses.replace(
        scorer, statistics=frozenset(), tokens=False, narrower=False, windows=(first,)
    )
    found = {}
    for name in ways_on_sample(str(spec), spec.markers, first):
        setting, value = name.split()
        if setting == "window":
            found[name] = dataclasses.replace(bare, windows=(parse_window(value),))
        elif setting == "steps":
            other = parse_steps(value, markers=spec.markers)
            found[name] = dataclasses.replace(bare, spec=other)
        else:
            markers: Markers = "keep" if value == "keep" else "skip"
            found[name] = dataclasses.replace(bare, spec=dataclasses.replace(spec, markers=markers))
    return found


BINS: Final = 15
"""Of the top-1 probability, for the expected calibration error (arXiv 2302.11472)."""

_CALIBRATION: Final = frozenset({"brier", *CALIBRATION})


def score_with_variants(scorer: Scorer, prepared: Prepared) -> list[StepSums]:
    """The records of one prompt's responses, each with its local naturalness in every variant.

    And with its calibration, where the back end gives the numbers of tokens that it needs.
    """
    records = scorer.score_prepared(prepared)
    may_pass = [record.may_pass for record in records]
    calibrations: list[dict[str, list[float]]] = [{} for _ in records]
    if _calibrates(scorer):
        for i, record in enumerate(_scored(_scorer_of_calibration(scorer), prepared)):
            calibrations[i] = calibration_of(record)
            may_pass[i] |= record.may_pass
    variants: list[dict[str, float]] = [{} for _ in records]
    undefined: list[dict[str, str]] = [{} for _ in records]
    for name, other in scorers_of_variants(scorer).items():
        window = other.windows[0].name
        for i, record in enumerate(_scored(other, prepared)):
            may_pass[i] |= record.may_pass
            means = record.step_means(window)
            variants[i][name] = math.fsum(means) / len(means) if means else math.nan
            if math.isnan(variants[i][name]):
                undefined[i][name] = record.undefined.get(window, "the back end gives no steps")
    return [
        dataclasses.replace(
            record, variants=values, calibration=calibration,
            undefined={**record.undefined, **reasons}, may_pass=passing,
        )
        for record, values, calibration, reasons, passing in zip(
            records, variants, calibrations, undefined, may_pass, strict=True
        )
    ]  # fmt: skip


def calls_with_variants(scorer: Scorer, prepared: Prepared) -> PromptCalls:
    """What `score_with_variants` asks of the back end."""
    others = [*scorers_of_variants(scorer).values()]
    if _calibrates(scorer):
        others.insert(0, _scorer_of_calibration(scorer))
    calls = [other.jobs(_prepared_for(other, prepared)) for other in others]
    return PromptCalls(prepared.prompt, [scorer.jobs(prepared), *calls])


def _prepared_for(scorer: Scorer, prepared: Prepared) -> Prepared:
    """The same text in other steps: of a prefix no token after it is read."""
    cut = [encoded.whole and Prefix(len(encoded.ids), "tokens") for encoded in prepared.each]
    return scorer.prepare(prepared.prompt, prepared.responses, prepared.tokens, cut)


def _scored(scorer: Scorer, prepared: Prepared) -> list[StepSums]:
    return scorer.score_prepared(_prepared_for(scorer, prepared))


def _calibrates(scorer: Scorer) -> bool:
    return scorer.backend.shares_runs and not _CALIBRATION & scorer.backend.unavailable.keys()


def _scorer_of_calibration(scorer: Scorer) -> Scorer:
    return dataclasses.replace(
        scorer,
        statistics=_CALIBRATION,
        tokens=True,
        narrower=False,
        windows=(parse_window("global"),),
    )


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
