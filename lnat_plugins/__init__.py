"""Which teacher's reasoning traces would a given student model learn most from?

The public names, each loaded when it is first used: `import lnat_plugins` alone imports neither
torch nor lm-eval nor TRL. What a plugin needs beyond them is in the folders: `lnat_plugins.steps`,
`.teacher_set`, `.scoring.record`, `.metrics`, `.selection`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lnat_plugins.api import (
        check_teacher_set,
        estimate_cost,
        init_teacher_set,
        load_teacher_set,
        read_all_scores,
        read_scores,
        score,
    )
    from lnat_plugins.gradients import GradientScores, gradient_scores
    from lnat_plugins.hooks.trl_data import select_dataset
    from lnat_plugins.metrics import Metric, UndefinedError
    from lnat_plugins.nce import NceWeights, nce_weights
    from lnat_plugins.on_ray import ScoredOnRay, score_on_ray
    from lnat_plugins.plugins.hookspecs import hookimpl
    from lnat_plugins.plugins.registry import Registry
    from lnat_plugins.scores import Scores
    from lnat_plugins.scoring.record import ScoredResponse
    from lnat_plugins.scoring.sglang_backend import SglangServer
    from lnat_plugins.selection import Selection, Strategy
    from lnat_plugins.steps import Splitter
    from lnat_plugins.study.results import run_study
    from lnat_plugins.study.studies import run_studies
    from lnat_plugins.teacher_set import Candidate, Loader

__version__ = "0.1.0"
__all__ = [
    "Candidate",
    "GradientScores",
    "Loader",
    "Metric",
    "NceWeights",
    "Registry",
    "ScoredOnRay",
    "ScoredResponse",
    "Scores",
    "Selection",
    "SglangServer",
    "Splitter",
    "Strategy",
    "UndefinedError",
    "__version__",
    "check_teacher_set",
    "estimate_cost",
    "gradient_scores",
    "hookimpl",
    "init_teacher_set",
    "load_teacher_set",
    "nce_weights",
    "read_all_scores",
    "read_scores",
    "run_studies",
    "run_study",
    "score",
    "score_on_ray",
    "select_dataset",
]

_HOME: Final = {
    "Candidate": "teacher_set",
    "GradientScores": "gradients",
    "Loader": "teacher_set",
    "Metric": "metrics",
    "NceWeights": "nce",
    "Registry": "plugins.registry",
    "ScoredOnRay": "on_ray",
    "ScoredResponse": "scoring.record",
    "Scores": "scores",
    "Selection": "selection",
    "SglangServer": "scoring.sglang_backend",
    "Splitter": "steps",
    "Strategy": "selection",
    "UndefinedError": "metrics",
    "check_teacher_set": "api",
    "estimate_cost": "api",
    "gradient_scores": "gradients",
    "hookimpl": "plugins.hookspecs",
    "init_teacher_set": "api",
    "load_teacher_set": "api",
    "nce_weights": "nce",
    "read_all_scores": "api",
    "read_scores": "api",
    "run_studies": "study.studies",
    "run_study": "study.results",
    "score": "api",
    "score_on_ray": "on_ray",
    "select_dataset": "hooks.trl_data",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lnat_plugins.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
