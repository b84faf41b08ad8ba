"""One request of a naturalness task: lm-eval's, with the steps that its task resolved."""

from __future__ import annotations

from dataclasses import dataclass

from lm_eval.api.instance import Instance

from lnat_plugins.steps import StepSpec, parse_steps


@dataclass
class Request(Instance):
    """lm-eval's request, plus how to cut responses.

    `arguments` names the splitter, and is written to the samples file; `steps` holds the
    splitter itself, which may come from a plugin that only the task's YAML names.
    """

    steps: StepSpec | None = None


def steps_of(one: Instance) -> StepSpec:
    """How the request's response is cut; one of lm-eval's own kind knows built-in splitters."""
    steps = getattr(one, "steps", None)
    return steps if isinstance(steps, StepSpec) else parse_steps(one.args[1]["settings"]["steps"])
