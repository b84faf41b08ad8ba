"""examples/score_on_ray.py: what it hands on, and its exit codes. tests/on_ray runs clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lnat_plugins
from lnat_plugins.errors import ConfigError

from .scripts import run


def test_the_command_line_is_a_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[Any] = []

    def called(*of: Any, **options: Any) -> str:
        calls.append((of, options))
        return "scored 6 of 6 prompts"

    monkeypatch.setattr(lnat_plugins, "score_on_ray", called, raising=False)
    options = ("--student", "S", "--model", "vllm", "--actors", 1, 4, "--gpus", 2)
    with pytest.raises(SystemExit) as end:
        run(
            "score_on_ray.py", "set.yaml", "out", *options,
            "--model_args", "dtype=bfloat16", "tensor_parallel_size=2",
        )  # fmt: skip
    assert end.value.code == 0 and capsys.readouterr().out == "scored 6 of 6 prompts\n"
    assert calls == [
        (
            ("set.yaml", "out"),
            {
                "student": "S", "model": "vllm", "actors": (1, 4), "gpus": 2, "cpus": 1, "block": 8,
                "model_args": {"dtype": "bfloat16", "tensor_parallel_size": 2},
            },
        )
    ]  # fmt: skip


def test_an_error_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def called(*of: Any, **options: Any) -> None:
        raise ConfigError("no such folder", where="out")

    monkeypatch.setattr(lnat_plugins, "score_on_ray", called, raising=False)
    with pytest.raises(SystemExit) as end:
        run("score_on_ray.py", "set.yaml", "out", "--student", "S")
    assert end.value.code == 2 and capsys.readouterr().err == "error: out: no such folder.\n"
