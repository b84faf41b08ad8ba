"""The agent traces: the files are the script's, and their answers are right where they say so."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lnat_plugins import load_teacher_set

from .scripts import EXAMPLES, run

AGENTS = EXAMPLES / "agents"


def test_the_files_are_those_of_the_script(tmp_path: Path) -> None:
    run("agents/make_agents.py", tmp_path)
    for name in ("agents.jsonl", "tools.json"):
        assert (tmp_path / name).read_text("utf-8") == (AGENTS / name).read_text("utf-8")


def test_answers_are_right_where_they_say_so() -> None:
    for line in (AGENTS / "agents.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        a, b, c = map(int, re.findall(r"\d+", row["messages"][2]["content"]))
        answer = int(row["messages"][-1]["content"].split()[0])
        assert row["correct"] == (answer == a * b - c) == (row["reward"] == 1.0)


def test_it_is_read_whole() -> None:
    found = load_teacher_set(AGENTS / "agents.yaml")
    assert (found.n_responses, found.teachers) == (36, ("terse", "explains", "checks"))
    turns = [one.turns for prompt in found.prompts for one in prompt.responses]
    assert {len(one or ()) for one in turns} > {8}
    assert all(one is not None and one[1].get("scripted") for one in turns)
