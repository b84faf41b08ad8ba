"""The same verdict for fewer tokens: sampled steps, a race over teachers, and its bounds.

Statistics only. Nothing here reads a model, a file or a teacher set: what is to be read next goes
out, what was read comes in. Step scores are nats per token, higher = better.
"""

from __future__ import annotations

from lnat_plugins.budget.contrasts import Contrasts, contrasts, unusual_lengths
from lnat_plugins.budget.estimator import (
    Estimate,
    Means,
    drawn_steps,
    known_steps,
    mean_over_traces,
    with_global_pass,
    without_global_pass,
)
from lnat_plugins.budget.outcome import Lead, Outcome, Placed
from lnat_plugins.budget.pilot import Plan, Trace, plan_steps
from lnat_plugins.budget.race import Costs, Race, Read, Reading
from lnat_plugins.budget.sequential import critical, limits, log_e, raised

__all__ = [
    "Contrasts",
    "Costs",
    "Estimate",
    "Lead",
    "Means",
    "Outcome",
    "Placed",
    "Plan",
    "Race",
    "Read",
    "Reading",
    "Trace",
    "contrasts",
    "critical",
    "drawn_steps",
    "known_steps",
    "limits",
    "log_e",
    "mean_over_traces",
    "plan_steps",
    "raised",
    "unusual_lengths",
    "with_global_pass",
    "without_global_pass",
]
