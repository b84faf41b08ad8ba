"""The figures of a choice in trackers: once, when training begins, by the trainer's own log."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from tests.conftest import REPO
from tests.helpers_programs import run_program
from tests.hooks.builders import natural

FIGURES = ("lnat/chosen", "lnat/score_chosen", "lnat/share/QwQ", "lnat/tokens")

_RUN = """
import json, sys
from pathlib import Path
sys.path.append(sys.argv[2])  # after the installed package
from tests.hooks.builders import natural

sft = {"report_to": sys.argv[1], "project": "chosen", "run_name": "one", "max_steps": 1}
trainer = natural(Path("out"), sft=sft)
trainer.train()
first = next(log for log in trainer.state.log_history if "lnat/chosen" in log)
Path("expected.json").write_text(json.dumps(first))
"""


def tracked(folder: Path, tracker: str, **variables: str) -> dict[str, Any]:
    """Train in a process of its own, which reports to the tracker; the figures as logged."""
    if importlib.util.find_spec(tracker) is None:
        pytest.skip(f"{tracker} is not installed")
    more = {"TRACKIO_DIR": str(folder / "trackio"), **variables}
    done = run_program(_RUN, [tracker, str(REPO)], cwd=folder, more=more)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    return found


def test_a_callback_gets_the_figures_once_before_the_first_step(tmp_path: Path) -> None:
    logs: list[tuple[int, dict[str, Any]]] = []

    class Tracker(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            seen.append((state.global_step, dict(logs)))

    seen = logs
    trainer = natural(tmp_path, callbacks=[Tracker()])
    trainer.train()
    ((step, figures),) = [one for one in logs if "lnat/chosen" in one[1]]
    assert step == 0 and {*FIGURES} <= {*figures}
    assert figures["lnat/chosen"] == len(trainer.selection.rows) == 4
    assert figures["lnat/tokens"] == sum(len(row["input_ids"]) for row in trainer.train_dataset)


def test_trackio_has_the_figures(tmp_path: Path) -> None:
    expected = tracked(tmp_path, "trackio")
    read = (
        "import json, trackio.sqlite_storage as s;"
        "print(json.dumps(s.SQLiteStorage.get_logs('chosen', 'one')))"
    )
    env = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")}
    printed = subprocess.run(
        [sys.executable, "-c", read], cwd=tmp_path, env=env, capture_output=True, text=True,
        check=True, timeout=120,
    ).stdout  # fmt: skip
    logs = json.loads(printed.splitlines()[-1])
    (found,) = [log for log in logs if any("chosen" in key for key in log)]
    values = {key: value for key, value in found.items() if isinstance(value, int | float)}
    for name in FIGURES:
        (value,) = [value for key, value in values.items() if key.endswith(name)]
        assert value == pytest.approx(expected[name])


def test_weights_and_biases_has_the_figures(tmp_path: Path) -> None:
    expected = tracked(tmp_path, "wandb", WANDB_MODE="offline", WANDB_DIR=str(tmp_path))
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    raw = file.read_bytes()
    for name in FIGURES:
        assert name.encode() in raw
    assert f"{expected['lnat/tokens']}".encode() in raw
