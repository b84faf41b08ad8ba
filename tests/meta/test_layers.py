"""Imports go one way, down the data path; and the check that says so can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.meta.layers import breaches

# The order of the data path. A new module gets its line here first.
LAYER = {
    "errors": 0,
    "_checks": 1,
    "_tables": 1,
    "statistics_names": 1,
    "config": 1,
    "yaml_file": 1,
    "whole_file": 1,
    "steps": 1,
    "teacher_set": 2,
    "tasks_index": 2,
    "windows": 2,
    "chat_template": 3,
    "tokens": 3,
    "training_tokens": 3,
    "engine": 4,
    "_lm_eval_keys": 1,
    "record": 5,
    "scorer": 5,
    "store": 5,
    "metrics": 5,
    "ranking": 6,
    "selection": 6,
    "registry": 7,
    "hookspecs": 7,
    "in_process": 7,
    "report": 7,
    "training_set": 7,
    "plugins": 8,
    "choosing": 8,
    "training": 8,
    "harness": 8,
    "api": 8,
    "scores": 8,
    "scoring": 9,
    "hooks": 9,
    "cli": 9,
    "sft": 9,
    "__init__": 9,
}
ALLOWED = {
    "lm_eval": frozenset({"harness"}),
    "torch": frozenset(name for name, layer in LAYER.items() if layer >= 4),
}
# The version is set before any other part of the package can run.
BARE = frozenset({"lnat_plugins.__version__"})


def test_imports_go_down(repo: Path) -> None:
    assert breaches(repo / "lnat_plugins", LAYER, ALLOWED, BARE) == []


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"config.py": "import made_up.engine"}, "config.py:1: `config` imports `engine`"),
        ({"config.py": "from made_up import engine"}, "`config` imports `engine`"),
        ({"config.py": "from . import engine"}, "`config` imports `engine`"),
        ({"config.py": "from .engine import run"}, "`config` imports `engine`"),
        ({"steps/_a.py": "from ..engine import run"}, "`steps` imports `engine`"),
        ({"config.py": "def f():\n    from made_up.engine import run"}, "config.py:2"),
        ({"config.py": "import_module('made_up.engine')"}, "`config` imports `engine`"),
        ({"config.py": "import made_up"}, "`config` imports `__init__`"),
        ({"config.py": "import made_up.novel"}, "`novel` has no layer"),
        ({"novel.py": "import made_up.errors"}, "`novel` has no layer"),
        ({"tokens.py": "import torch.nn as nn"}, "`tokens` may not import torch"),
        ({"cli.py": "from lm_eval import tasks"}, "`cli` may not import lm_eval"),
        (
            {"store.py": "import made_up.metrics", "metrics/a.py": "import made_up.store"},
            "cycle: metrics -> store -> metrics",
        ),
    ],
)
def test_a_bad_import_is_caught(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    found = breaches(_package(tmp_path, files), LAYER, ALLOWED, BARE)
    assert complaint in "\n".join(found)


def test_a_good_tree_passes(tmp_path: Path) -> None:
    files = {
        "errors.py": "import json",
        "steps/__init__.py": "from made_up.steps._rules import rules",
        "steps/_rules.py": "from made_up.errors import LnatError",
        "engine.py": "import torch\nfrom made_up.steps import split",
        "harness.py": "import lm_eval\nfrom made_up import engine, __version__",
    }
    bare = frozenset({"made_up.__version__"})
    assert breaches(_package(tmp_path, files), LAYER, ALLOWED, bare) == []


def _package(tmp_path: Path, files: dict[str, str]) -> Path:
    root = tmp_path / "made_up"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root
