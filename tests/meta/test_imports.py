"""`import lnat_plugins` is quick: it loads no tensor library and no host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lnat_plugins

HEAVY = {"torch", "lm_eval", "datasets", "transformers", "trl", "scipy", "pandas", "pyarrow"}
SITE = Path(lnat_plugins.__file__).parents[1]


def loaded_by(code: str, site: Path, cwd: Path) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running `code`.

    `cwd` comes first on the interpreter's path, so it must hold no other copy of the package.
    """
    code += "\nimport json, sys; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    env = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=cwd, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = loaded_by("import lnat_plugins; lnat_plugins.__version__", SITE, tmp_path)
    assert "lnat_plugins" in loaded
    assert loaded & HEAVY == set()


def test_a_heavy_import_is_caught(tmp_path: Path) -> None:
    (tmp_path / "torch.py").touch()
    (tmp_path / "lnat_plugins").mkdir()
    (tmp_path / "lnat_plugins" / "__init__.py").write_text("import torch", encoding="utf-8")
    assert loaded_by("import lnat_plugins", tmp_path, tmp_path) & HEAVY == {"torch"}


def test_every_public_name_loads() -> None:
    missing = [name for name in lnat_plugins.__all__ if not hasattr(lnat_plugins, name)]
    assert missing == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_teachers'"):
        lnat_plugins.load_teachers  # noqa: B018
