"""The command line journey, script and all: scored, ranked, chosen, trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lnat_plugins.selection.training_set import read_selection

from .scripts import EXAMPLES, bundled


@pytest.mark.timeout(600)
def test_the_whole_way(tmp_path: Path) -> None:
    commands = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", str(EXAMPLES / "rank_and_select.sh"), str(tmp_path / "out"), "2"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (told,) = json.loads((tmp_path / "out/ranking/ranking.json").read_text())["rankings"]
    ranked = [line["teacher"] for line in told["ranking"]["teachers"]]
    assert set(ranked[:2]) == {"plain", "slips"}
    rows = pq.read_table(tmp_path / "out/chosen/data/train.parquet").to_pylist()
    assert [row["lnat_teacher"] for row in rows] == ["plain"] * 2
    # Plain text, as it was scored: no conversation, which would be rendered in a template.
    assert all(isinstance(row["prompt"], str) for row in rows)
    selection = read_selection(tmp_path / "out/chosen")
    wrong = [index for index, row in enumerate(bundled(prompts=2)) if not row["correct"]]
    assert [i for i, why in selection.reasons.items() if why == "`correct` is false"] == wrong != []
    assert (tmp_path / "out/model/model.safetensors").is_file()
    steps = json.loads((tmp_path / "out/model/checkpoint-2/trainer_state.json").read_text())
    assert steps["max_steps"] == 2
