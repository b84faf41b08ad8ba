"""Files: YAML read as lm-evaluation-harness reads it, and text written atomically.

`include:` is resolved relative to the including file and local keys win at the top level, without
deep merging; `!function a.b.c` becomes the text "a.b.c", so that reading a task imports no host.
"""

from __future__ import annotations

import os
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from lnat_plugins.errors import ConfigError, StudentError

_HUB_PARTS = 2
BUNDLED = "bundled"
"""The name of the student that comes with the package, where a student is asked for."""


def bundled_student() -> Path:
    """The absolute path of the small student that comes with the package.

    Raises StudentError where the installation lacks it.
    """
    folder = Path(str(files("lnat_plugins") / "student")).absolute()
    if not folder.is_dir():
        raise StudentError(
            "the bundled student is missing from this installation",
            where=str(folder),
            remedy="run pip install --force-reinstall lnat-plugins",
        )
    return folder


class FunctionName(str):
    """The dotted name behind lm-eval's tag `!function`."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with what stands behind lm-eval's `!function` kept as text."""


def _function_name(loader: yaml.SafeLoader, node: yaml.Node) -> FunctionName:
    if not isinstance(node, yaml.ScalarNode):
        problem = "!function takes a dotted name"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return FunctionName(loader.construct_scalar(node))


_Loader.add_constructor("!function", _function_name)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The file's keys, with those of its includes underneath.

    Raises ConfigError for a file that is missing or unreadable, for bad YAML (line and column), for
    a file that is not a mapping, and for a file included twice, which lm-eval takes for a cycle and
    then skips the task without a message.
    """
    return _read(Path(path).expanduser().resolve(), seen=[])


def _read(path: Path, seen: list[Path]) -> dict[str, Any]:
    if path in seen:
        raise ConfigError(
            "a file is included twice",
            where=str(seen[0]), found=" -> ".join(file.name for file in [*seen, path]),
            remedy="include each file once; lm-eval refuses this too",
        )  # fmt: skip
    config = _parse(path, included_by=seen[-1] if seen else None)
    seen.append(path)
    includes = config.pop("include", None)
    if includes is None:
        return config
    merged: dict[str, Any] = {}
    for name in includes if isinstance(includes, list) else [includes]:
        if not isinstance(name, str) or not name:
            raise ConfigError(
                "`include` must be a file name or a list of them", where=str(path), found=name
            )
        merged |= _read((path.parent / name).resolve(), seen)
        merged.pop("task_list", None)
    return merged | config


def _parse(path: Path, included_by: Path | None) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        remedy = f"correct `include:` in {included_by}" if included_by else "check the path"
        raise ConfigError("no such file", where=str(path), remedy=remedy) from None
    except (OSError, UnicodeDecodeError) as cause:
        raise ConfigError(
            f"the file cannot be read: {cause}", where=str(path), remedy="give a UTF-8 YAML file"
        ) from cause
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> dict[str, Any]:
    """A YAML's text as its keys; `path` is where it stands, for messages. Follows no `include`.

    Raises ConfigError as `read_yaml` does.
    """
    try:
        config = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as cause:
        # ValueError: a date that does not exist, as in `2025-02-30`
        problem, mark = (getattr(cause, name, None) for name in ("problem", "problem_mark"))
        raise ConfigError(
            f"not valid YAML: {problem or str(cause).splitlines()[0]}",
            where=str(path) + (f" line {mark.line + 1} column {mark.column + 1}" if mark else ""),
            remedy="quote values that hold ': ', '#' or start with '%', '*', '&' or '@'",
        ) from cause
    if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
        raise ConfigError(
            "the file must be a mapping of keys to values",
            where=str(path), found=config, remedy="start with a key, as in `key: value`",
        )  # fmt: skip
    return config


def write_atomic(path: Path, content: str | bytes, option: str) -> None:
    """Write a file under a temporary name, then move it; makes the folders above it.

    Args:
        path: the file.
        content: bytes, or text, written as UTF-8, line ends as they are.
        option: what named the folder, for the message: "--output_path".

    Raises ConfigError for a folder that cannot be made or written to, or a path that is a folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
            # mkstemp's files are private; a result is as readable as any other file.
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except IsADirectoryError:
        raise ConfigError(
            "this is a folder, where a file is to be written",
            where=str(path), remedy=f"give {option} the name of a file",
        ) from None  # fmt: skip
    except OSError as error:
        raise ConfigError(
            "cannot be written",
            where=str(path), found=error.strerror,
            remedy=f"give {option} a folder that can be written to",
        ) from None  # fmt: skip


def check_model_folder(name: object, where: str) -> None:
    """Refuse a model's name that can only be a local path, where no model is (StudentError)."""
    if not isinstance(name, str):
        return
    path = Path(name).expanduser()
    hub_like = len(path.parts) <= _HUB_PARTS and not name.startswith((".", "~", "/"))
    if not path.is_dir() and not hub_like:
        what = "the student's folder does not exist"
        remedy = "give a folder with config.json, or a hub name such as owner/model"
    elif path.is_dir() and not (path / "config.json").is_file():
        what = "the student's folder holds no model: it has no config.json"
        remedy = "give the folder that save_pretrained wrote"
    else:
        return
    raise StudentError(what, where=where, found=name, remedy=remedy)


def shown(path: str | Path) -> str:
    """A path as the user would type it: relative if it lies below the working directory."""
    absolute = Path(path).absolute()
    below = absolute.is_relative_to(Path.cwd())
    return (absolute.relative_to(Path.cwd()) if below else absolute).as_posix()
