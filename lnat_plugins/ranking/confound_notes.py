"""What the confound panel has to say in words. Computes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from lnat_plugins.ranking.control_correlation import ControlCorrelation
from lnat_plugins.ranking.repetition import WINDOW

NEARLY_ALL: Final = 0.9
"""From this share of the context on, a window is the global one under another name."""

MUCH_REPEATED: Final = 0.1
"""From this share of repeated words on, a teacher's loops are told."""

NEARLY_ALONE: Final = 0.9
"""From this correlation on, up or down, a score orders much as the control does."""

LEAST_SPARE: Final = 8
"""Responses beyond two a prompt: with fewer, any two figures go together by luck."""

_CHOICE: Final = {
    "n_tokens": ("longest", "shortest"),
    "n_steps": ("one of most steps", "one of fewest steps"),
    "mean_step_tokens": ("one of the longest steps", "one of the shortest steps"),
}


def count_notes(correlations: Sequence[ControlCorrelation]) -> Iterator[str]:
    """Where the score orders the responses much as a plain count would."""
    for one in correlations:
        inside = not math.isnan(one.within_prompt)
        found = one.within_prompt if inside else one.overall
        # A correlation of NaN is never as large as this.
        if one.control in _CHOICE and one.spare >= LEAST_SPARE and abs(found) >= NEARLY_ALONE:
            yield (
                f"{'Within prompts' if inside else 'Over all responses'} the score goes with "
                f"{one.control} (Spearman {found:.3f}): choosing by it is much like choosing the "
                f"{_CHOICE[one.control][found < 0]}."
            )


def context_notes(context: Mapping[str, float], read: str | None) -> Iterator[str]:
    """Where the window that was read shows nearly everything."""
    if read is None or read not in context:
        return
    shown = context[read]
    if math.isnan(shown):
        yield (
            f"No response has a second step, so that window {read} shows what global shows: this "
            "is global naturalness under another name."
        )
    elif shown >= NEARLY_ALL:
        yield (
            f"Window {read} shows {100 * shown:.0f}% of what precedes a step here: this is global "
            "naturalness under another name."
        )


def repetition_notes(repeated: Mapping[str, float]) -> Iterator[str]:
    """Teachers that loop."""
    loops = [f"{name} {100 * share:.0f}%" for name, share in repeated.items()
             if share >= MUCH_REPEATED]  # fmt: skip
    if loops:
        yield (
            f"Words in stretches of {WINDOW} that the same response had said before: "
            f"{', '.join(loops)}. What repeats is easy to predict, so loops score well."
        )


def family_notes(own: frozenset[str], same: Sequence[str]) -> Iterator[str]:
    """Teachers of the student's own family."""
    if same:
        verb = "is" if len(same) == 1 else "are"
        yield (
            f"By name, {', '.join(same)} {verb} of the student's own family "
            f"({', '.join(sorted(own))}): a student finds its own family's text likely, whatever "
            "it would learn from it."
        )
