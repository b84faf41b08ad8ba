"""One request of a naturalness task: lm-eval's, with what its task resolved by name."""

from __future__ import annotations

from dataclasses import dataclass

from lm_eval.api.instance import Instance

from lnat_plugins.metrics.asked import Asked
from lnat_plugins.steps import StepSpec, parse_steps

_NOTHING = Asked(())


@dataclass
class Request(Instance):
    """lm-eval's request, plus how to cut responses and which metrics to serve.

    `arguments` names splitter and metrics, and is written to the samples file; here are they
    themselves, which may come from a plugin that only the task's YAML names.
    """

    steps: StepSpec | None = None
    asked: Asked = _NOTHING


def asked_of(one: Instance) -> Asked:
    """The metrics to serve beyond log-probabilities; none for a request of lm-eval's own kind."""
    asked = getattr(one, "asked", _NOTHING)
    return asked if isinstance(asked, Asked) else _NOTHING


def steps_of(one: Instance) -> StepSpec:
    """How the request's response is cut; one of lm-eval's own kind knows built-in splitters."""
    steps = getattr(one, "steps", None)
    return steps if isinstance(steps, StepSpec) else parse_steps(one.args[1]["settings"]["steps"])
