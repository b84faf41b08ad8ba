"""The third-party package, installed once into a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def package(repo: Path) -> Path:
    """The source of a plugin that is a package of its own."""
    return repo / "tests" / "third_party" / "lnat_shouting_plugin"


@pytest.fixture(scope="session")
def site(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the package as pip installs it; put it on the path to see it."""
    folder = tmp_path_factory.mktemp("third_party")
    # setuptools leaves build/ and an egg-info beside the source that it builds.
    source = shutil.copytree(package, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder / "site")]
    done = subprocess.run(
        [*pip, *options, str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"
