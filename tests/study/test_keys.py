"""What a unit is known by: a long study goes on under a newer version of the package.

Each key stands here as it was first written. A change of one would make every unit of a study that
is running be done again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.study.run import StudyRun
from lnat_plugins.study.spec import Budget
from lnat_plugins.study.units import Unit

from .lab import write_study

SFT = {"max_steps": 2, "learning_rate": 0.01, "use_cpu": True, "bf16": False}
SETTINGS = {
    "steps": "sentence", "windows": ["1", "global"], "target_delimiter": "\n\n",
    "metrics": ["local_naturalness", "global_naturalness"], "markers": "skip",
}  # fmt: skip


def keys_of(run: StudyRun, folder: Path) -> dict[str, dict[str, Any]]:
    """Kind -> the key of one of its units; digests of files and the set's name aside."""
    first = {"student": run._students["student"], "apply_chat_template": True}
    scored = first | {"teacher_set": [run.teacher_set.fingerprint, SETTINGS]}
    evaluated = {
        "evaluation": {
            "tasks": (str(folder / "sums.yaml"),), "metric": "acc", "filter": None, "limit": None,
            "gen_kwargs": {}, "batch_size": 8, "device": "cpu", "include_path": None,
            "model_args": {"dtype": "float32"},
        },
        "tasks": run.tasks,
    }  # fmt: skip
    trained = scored | evaluated | {"shuffle": 1234, "sft": SFT, "seed": 1}
    return {
        "scores": scored,
        "none": first | evaluated,
        "warm": scored
        | {"rows": "long", "warm": {"rows": 3, "updates": 2}, "sft": SFT}
        | {"shuffle": 1234, "seed": 1},
        "teacher": trained | {"rows": "long", "budget": {"rows": 6, "tokens": None}},
        "selection": trained
        | {
            "rows": {"strategy": "best", "window": 1},
            "budget": {"rows": None, "tokens": 90},
        },
        "all": trained | {"rows": "long", "budget": {"rows": None, "tokens": None}},
    }


UNITS = {
    "scores": Unit("scores", "student"),
    "none": Unit("none", "student"),
    "warm": Unit("warm", "student", "long"),
    "teacher": Unit("teacher", "student", "long", Budget(rows=6), 1),
    "selection": Unit("selection", "student", "best", Budget(tokens=90), 1),
    "all": Unit("teacher", "student", "long", Budget(), 1),
}


@pytest.mark.parametrize("kind", UNITS)
def test_the_key_of_a_unit_stays(tmp_path: Path, kind: str) -> None:
    budget = [{"rows": 6}, {"tokens": 90}, {}]
    path = write_study(tmp_path, warm={"rows": 3, "updates": 2}, budget=budget)
    run = StudyRun.of(path, tmp_path / "out")
    assert UNITS[kind] in run.units
    assert run._key(UNITS[kind]) == keys_of(run, tmp_path)[kind]
