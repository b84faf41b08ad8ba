"""What is in the tree is in the wheel, and nothing else is."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

import lnat_plugins

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Folder of the repository -> where the wheel puts it.
PLACES = {
    "lnat_plugins": ["lnat_plugins"],
    "hooks": ["lnat_plugins/hooks"],
    "tasks": ["lnat_plugins/tasks"],
    "tasks/local_naturalness": ["lm_eval/tasks/local_naturalness"],
}


def files_below(folder: Path) -> set[str]:
    """The files of a folder, by their path in it; what Python and an editor leave is no file."""
    return {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file()
        and file.suffix not in {".pyc", ".pyo"}
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    }


def promised(repo: Path) -> dict[str, Path]:
    """Path in the wheel -> the file of the repository that belongs there."""
    return {
        f"{place}/{name}": repo / folder / name
        for folder, places in PLACES.items()
        for place in places
        for name in files_below(repo / folder)
    }


def differences(wanted: dict[str, Path], installed: dict[str, Path]) -> list[str]:
    """Files that are missing, left over, or older or newer than the tree's; one line each."""
    return [
        *(f"missing: {name}" for name in sorted(wanted.keys() - installed.keys())),
        *(f"left over: {name}" for name in sorted(installed.keys() - wanted.keys())),
        *(
            f"not the tree's: {name}"
            for name in sorted(wanted.keys() & installed.keys())
            if wanted[name].read_bytes() != installed[name].read_bytes()
        ),
    ]


def packages_in(repo: Path) -> set[str]:
    """The import packages of the tree, under the names that the wheel gives them."""
    found = {"lnat_plugins.hooks", "lnat_plugins.tasks"}
    for folder, place in (("lnat_plugins", "lnat_plugins"), ("hooks", "lnat_plugins.hooks")):
        for file in (repo / folder).rglob("*.py"):
            parts = file.parent.relative_to(repo / folder).parts
            found.add(".".join([place, *parts]))
    for folder in (repo / "tasks").iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            found |= {f"lnat_plugins.tasks.{folder.name}", f"lm_eval.tasks.{folder.name}"}
    return found


@pytest.fixture
def installed(repo: Path) -> dict[str, Path]:
    """Path in the wheel -> the installed file, for every file that a wheel put there."""
    try:
        dist = distribution("lnat-plugins")
    except PackageNotFoundError:
        pytest.skip("lnat-plugins is not installed; `make test` installs it")
    if _is_editable(dist, repo):
        pytest.skip("an editable install has no files of its own; `make test` installs the wheel")
    return {
        file.as_posix(): Path(str(file.locate()))
        for file in dist.files or ()
        if file.parts[0] in {"lnat_plugins", "lm_eval"} and file.suffix != ".pyc"
    }


def _is_editable(dist: Distribution, repo: Path) -> bool:
    own = any(file.as_posix() == "lnat_plugins/__init__.py" for file in dist.files or ())
    # The egg-info that an editable install leaves in the checkout lists the checkout's own files.
    return not own or Path(str(dist.locate_file(""))).resolve() == repo


def test_the_installed_wheel_is_what_is_tested(repo: Path) -> None:
    if os.environ.get("LNAT_TEST_INSTALLED") != "1":
        pytest.skip("not started by `make test`")
    tested = Path(lnat_plugins.__file__).parent
    assert tested == Path(str(distribution("lnat-plugins").locate_file("lnat_plugins"))).resolve()
    assert tested != repo / "lnat_plugins"


def test_the_wheel_holds_the_tree(repo: Path, installed: dict[str, Path]) -> None:
    assert differences(promised(repo), installed) == []


def test_the_package_list_is_the_tree(repo: Path) -> None:
    settings = tomllib.loads((repo / "pyproject.toml").read_text(encoding="utf-8"))
    assert sorted(settings["tool"]["setuptools"]["packages"]) == sorted(packages_in(repo))


def test_the_tree_without_caches(tmp_path: Path) -> None:
    for name in ("a.py", "_template_yaml", "data/rows.jsonl", "__pycache__/a.pyc", ".x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files_below(tmp_path) == {"a.py", "_template_yaml", "data/rows.jsonl"}


def test_a_lost_file_is_caught(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("1", encoding="utf-8")
    (tmp_path / "new").write_text("2", encoding="utf-8")
    wanted = {"a": tmp_path / "old", "b": tmp_path / "old"}
    found = {"b": tmp_path / "new", "c": tmp_path / "new"}
    assert differences(wanted, found) == ["missing: a", "left over: c", "not the tree's: b"]


def test_a_forgotten_package_is_caught(tmp_path: Path) -> None:
    for name in ("lnat_plugins/a/b/c.py", "hooks/d/e.py", "tasks/f/g.yaml"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert packages_in(tmp_path) >= {
        "lnat_plugins.a.b",
        "lnat_plugins.hooks.d",
        "lnat_plugins.tasks.f",
        "lm_eval.tasks.f",
    }


def test_uninstalling_leaves_nothing(repo: Path, tmp_path: Path) -> None:
    wheels = [*(repo / "dist").glob("lnat_plugins-*.whl")]
    if not wheels:
        pytest.skip("no wheel in dist/; `make test` builds it")
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"

    def pip(*arguments: str | Path) -> None:
        command = [sys.executable, "-m", "pip", "--python", python, "--quiet", *arguments]
        subprocess.run(command, check=True)

    def files() -> set[Path]:
        return {path.relative_to(environment) for path in environment.rglob("*")}

    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "lm_eval" / "tasks").mkdir(parents=True)  # lm-eval's own
    before = files()
    pip("install", "--no-deps", "--no-index", *wheels)
    assert len(files()) > len(before) + 200
    assert compileall.compile_dir(packages / "lnat_plugins", quiet=2)
    pip("uninstall", "--yes", "lnat-plugins")
    assert files() == before
