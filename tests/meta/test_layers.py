"""Imports go one way, down the data path; and the check that says so can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.meta.layers import breaches

# The order of the data path, lowest first. A new folder gets its place here first.
LAYERS = (
    "errors",
    "files",
    "formatting",
    "locks",
    "processes",
    "folders",
    "outputs",
    "steps",
    "teacher_set",
    "engine",
    "scoring",
    "budget",
    "metrics",
    "ranking",
    "selection",
    "report",
    "plugins",
    "scores",
    "api",
    "gradients",
    "nce",
    "harness",
    "on_ray",
    "hooks",
    "study",
    "cli",
    "__init__",
)
ALLOWED = {
    "lm_eval": {"harness"},
    # Of TRL the scorer reads the training templates, and no trainer.
    "trl": {"hooks", "scoring"},
    "vllm": {"scoring"},
    "ray": {"on_ray"},
    "torch": {"engine", "scoring", "gradients", "nce", "harness", "hooks", "study"},
}
# These read the package's version, or are written as anybody's plugin is.
FREE = (
    "lnat_plugins.cli",
    "lnat_plugins.cli.rank",
    "lnat_plugins.on_ray.run",
    "lnat_plugins.hooks.builtin",
    "lnat_plugins.report.page",
    "lnat_plugins.report.write",
    "lnat_plugins.selection.cards",
    "lnat_plugins.selection.training_set",
)


def test_imports_go_down(repo: Path) -> None:
    roots = {"lnat_plugins": repo / "lnat_plugins", "lnat_plugins.hooks": repo / "hooks"}
    assert breaches(roots, LAYERS, ALLOWED, FREE) == []


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"files.py": "import made_up.engine"}, "made_up.files:1: `files` imports `engine`"),
        ({"files.py": "from made_up import engine", "engine/__init__.py": ""}, "`files` imports"),
        (
            {"files.py": "from . import engine", "engine/__init__.py": ""},
            "`files` imports `engine`",
        ),
        ({"files.py": "from .engine import run"}, "`files` imports `engine`"),
        ({"steps/a.py": "from ..engine import run"}, "`steps` imports `engine`"),
        ({"files.py": "def f():\n    from made_up.engine import run"}, "made_up.files:2"),
        ({"files.py": "import_module('made_up.engine')"}, "`files` imports `engine`"),
        ({"files.py": "import made_up"}, "`files` imports `__init__`"),
        ({"files.py": "import made_up.novel"}, "`novel` has no layer"),
        ({"novel.py": "import made_up.errors"}, "`novel` has no layer"),
        ({"metrics/a.py": "import torch.nn as nn"}, "`metrics` may not import torch"),
        ({"cli/a.py": "from lm_eval import tasks"}, "`cli` may not import lm_eval"),
        ({"api.py": "def f():\n    import trl"}, "`api` may not import trl"),
        ({"study/a.py": "import ray.data"}, "`study` may not import ray"),
        (
            {
                "ranking/a.py": "from made_up.ranking.b import x",
                "ranking/b.py": "def f():\n    from made_up.ranking.a import y",
            },
            "circle: made_up.ranking.a -> made_up.ranking.b -> made_up.ranking.a",
        ),
        (
            {
                "ranking/__init__.py": "from made_up.ranking.a import x",
                "ranking/a.py": "from made_up.ranking import y",
            },
            "circle: made_up.ranking -> made_up.ranking.a -> made_up.ranking",
        ),
    ],
)
def test_a_bad_import_is_caught(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    found = breaches({"made_up": _package(tmp_path, files)}, LAYERS, ALLOWED)
    assert complaint in "\n".join(found)


def test_a_good_tree_passes(tmp_path: Path) -> None:
    files = {
        "__init__.py": "",
        "errors.py": "import json",
        "steps/__init__.py": "from made_up.steps.rules import rules",
        "steps/rules.py": "from made_up.errors import LnatError",
        "engine/__init__.py": "import torch\nfrom made_up.steps import split",
        "harness/__init__.py": "import lm_eval\nfrom made_up import __version__, engine",
        "cli/__init__.py": "from made_up.hooks.trl_sft import main",
    }
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "trl_sft.py").write_text("import trl\nfrom made_up import harness", encoding="utf-8")
    roots = {"made_up": _package(tmp_path, files), "made_up.hooks": hooks}
    assert breaches(roots, LAYERS, ALLOWED, ["made_up.harness"]) == []


def _package(tmp_path: Path, files: dict[str, str]) -> Path:
    root = tmp_path / "made_up"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root
