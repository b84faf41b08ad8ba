"""With the offline variables set nothing asks the network for anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lnat_plugins import cli
from tests.harness.lab import TASK, rows, write_set
from tests.helpers_students import student, tokenizer
from tests.study.lab import finished

OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
PROGRAM = """
import json, pathlib, socket, sys
asked = []

def refused(*given, **_):
    asked.append(repr(given[:2]))
    raise OSError("no network here")

class Socket(socket.socket):
    def connect(self, address):
        if self.family != socket.AF_UNIX:
            refused(address)
        return super().connect(address)
    connect_ex = connect

socket.socket = Socket
socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refused
{probe}
from lnat_plugins.cli import main
codes = dict()
for command in json.loads(sys.argv[1]):
    try:
        codes[" ".join(command)] = main(command)
    except SystemExit as end:
        codes[" ".join(command)] = end.code
pathlib.Path("asked.json").write_text(json.dumps([asked, codes]))
"""
PROBE = """
import urllib.request
try:
    urllib.request.urlopen("http://example.org", timeout=5)
except OSError:
    pass
"""


def asked_by(
    commands: list[list[str]], folder: Path, probe: str = ""
) -> tuple[list[str], dict[str, int]]:
    """What was asked of the network, and the exit codes."""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.format(probe=probe), json.dumps(commands)],
        cwd=folder, env={**os.environ, **dict.fromkeys(OFFLINE, "1")}, check=True, timeout=300,
        capture_output=True,
    )  # fmt: skip
    asked, codes = json.loads((folder / "asked.json").read_text())
    return asked, codes


def left_out(commands: list[list[str]]) -> list[str]:
    """The commands of the CLI that are not among these."""
    return sorted({*cli._COMMANDS} - {command[0] for command in commands})


def test_no_command_asks_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    student("llama").save_pretrained(tmp_path / "student")
    tokenizer().save_pretrained(tmp_path / "student")
    path = str(write_set(tmp_path, rows(prompts=4)))
    training = {
        "model_name_or_path": "student", "output_dir": "sft", "max_length": None, "max_steps": 1,
        "use_cpu": True, "report_to": "none", "save_strategy": "no",
        "selection": {"teacher_set": path, "strategy": "best", "windows": [4]},
    }  # fmt: skip
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump(training))
    scoring = ["--model", "hf", "--model_args", "pretrained=student", "--device", "cpu"]
    study = finished(tmp_path / "lab", out=tmp_path / "lab" / "small")
    studied = [str(study.spec.source), "--output_path", str(study.folder)]
    commands = [
        ["student"],
        ["plugins"],
        ["init", "my_teachers.jsonl", "--output_path", "new.yaml"],
        ["check", path, "--student", "student"],
        ["eval", *scoring, "--tasks", path, "--log_samples", "--output_path", "out"],
        ["rank", "out", "--bootstrap_iters", "50"],
        ["report", "out", "--bootstrap_iters", "50", "--output_path", "report.html"],
        ["select", "out", "--output_path", "chosen"],
        ["tasks"],
        ["sft", "--config", "sft.yaml"],
        ["gradients", path, "--student", "student", "--folds", "2", "--dimension", "4",
         "--bootstrap_iters", "50", "--device", "cpu"],
        ["nce", path, "--positive", "student", "--negative", "student", "--device", "cpu",
         "--output_path", "nce.jsonl"],
        ["study", *studied, "--dry_run"],
        ["study", *studied, "--bootstrap_iters", "50"],
    ]  # fmt: skip
    assert left_out(commands) == []
    asked, codes = asked_by(commands, tmp_path)
    assert set(codes.values()) == {0}, codes
    assert len(codes) == len(commands)
    assert asked == []
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert [*(tmp_path / "out").rglob(f"samples_{TASK}_*.jsonl")]
    assert (tmp_path / "nce.jsonl").stat().st_size > 0


def test_a_command_that_is_left_out_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [[name] for name in cli._COMMANDS]
    assert left_out(commands) == []
    assert left_out(commands[1:]) == [commands[0][0]]
    monkeypatch.setattr(cli, "_COMMANDS", {**cli._COMMANDS, "new": ()})
    assert left_out(commands) == ["new"]


def test_what_asks_is_seen(tmp_path: Path) -> None:
    asked, codes = asked_by([["--version"]], tmp_path, PROBE)
    assert len(asked) == 1 and "example.org" in asked[0]
    assert codes == {"--version": 0}
