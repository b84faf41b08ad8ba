"""Files: YAML and JSON read without surprises.

YAML is read as lm-evaluation-harness reads it. A duplicate key in a mapping is refused in
YAML and JSON alike, where the usual readers keep the last; so are aliases that multiply a YAML, and
what is no regular file, such as a pipe, where reading could wait for ever.

`include:` is resolved relative to the including file and local keys win at the top level, without
deep merging; `!function a.b.c` becomes the text "a.b.c", so that reading a task imports no host.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jiter
import yaml

from lnat_plugins.errors import ConfigError, LnatError, StudentError

_HUB_PARTS = 2
_MOST_ALIASED: Final = 100_000
_HALF: Final = re.compile("[\ud800-\udfff]")
_LONGEST_YAML: Final = 2_000_000
_CHARACTERS: Final = 64  # of text that count as a value, where an alias repeats it
ADAPTER: Final = "adapter_config.json"
"""In the folder of an adapter that PEFT saved."""
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
    """The dotted name behind lm-eval's tag `!function`.

    `folder` is that of the file it stands in, where lm-eval looks for the module first.
    """

    folder = Path()


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with what stands behind lm-eval's `!function` kept as text."""

    folder = Path()


def _function_name(loader: _Loader, node: yaml.Node) -> FunctionName:
    if not isinstance(node, yaml.ScalarNode):
        problem = "!function takes a dotted name"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    name = FunctionName(loader.construct_scalar(node))
    name.folder = loader.folder
    return name


_Loader.add_constructor("!function", _function_name)


class RepeatedKeyError(ValueError):
    """A duplicate key in a JSON object."""

    def __init__(self, key: str) -> None:
        super().__init__(f"duplicate key {key!r}")
        self.key = key


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RepeatedKeyError(repeated(pairs))
    return found


def repeated(pairs: Sequence[tuple[str, Any]]) -> str:
    """The first duplicate key among these pairs, of which there is at least one."""
    seen: set[str] = set()
    return next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


# Made once: json.loads would make one for every text.
def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


_JSON: Final = json.JSONDecoder(object_pairs_hook=_unique)
_FINITE_JSON: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite
)


def parse_json(text: str, *, finite: bool = False) -> Any:
    """JSON text as Python values; NaN and infinity, which JSON does not have, unless `finite`.

    Raises ValueError for text that is no JSON, RepeatedKeyError (a ValueError) for an object with a
    duplicate key, and RecursionError for one that is nested too deep.
    """
    try:
        found = jiter.from_json(text.encode(), catch_duplicate_keys=True)
    except ValueError:  # `json` says what is wrong, and reads what JSON does not have
        return (_FINITE_JSON if finite else _JSON).decode(text)
    return found if not finite or is_finite(found) else _FINITE_JSON.decode(text)


def is_finite(value: Any) -> bool:
    """Whether every number in a JSON value is, as 1e999 is not; however deep the value is."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list):
            left += one
        elif isinstance(one, float) and not math.isfinite(one):
            return False
    return True


def irregular(path: Path) -> str:
    """Why a path is not one of a file that can be read to its end; "" if it is, or leads nowhere.

    A folder counts as a file here: opening it is an error that says so.
    """
    try:
        mode = path.stat().st_mode
    except ValueError:
        return "the path holds a character that no path may hold"
    except OSError as cause:
        nowhere = isinstance(cause, FileNotFoundError | NotADirectoryError)
        return "" if nowhere else f"the path cannot be read: {cause.strerror}"
    kinds = {
        stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }  # fmt: skip
    kind = kinds.get(stat.S_IFMT(mode))
    return f"this is {kind}, not a file" if kind else ""


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there; False for what no path can be, such as 5,000 characters."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def user_path(
    path: str | Path, kind: type[LnatError], where: str = "", base: Path | None = None
) -> Path:
    """The path, from `base`, with `~` replaced; an error for what `irregular` refuses."""
    try:
        found = (base or Path()) / Path(path).expanduser()
    except RuntimeError:
        raise kind(
            "no such user", where=where or "path", found=str(path),
            remedy="write the home folder out",
        ) from None  # fmt: skip
    require_regular(found, kind, where, str(path))
    return found


def require_regular(path: Path, kind: type[LnatError], where: str = "", written: str = "") -> None:
    """Raise an error of that kind where `irregular` says something of the path, as `written`."""
    if problem := irregular(path):
        raise kind(
            problem, where=where or "path", found=written or str(path),
            remedy="give the path of a file",
        )  # fmt: skip


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The file's keys, with those of its includes underneath.

    Raises ConfigError for a file that is missing, unreadable or above 2 MB, for bad YAML (line and
    column), for a duplicate key and for aliases that would multiply the file, for a file
    that is not a mapping, and for a file included twice, which lm-eval takes for a cycle and then
    skips the task without a message.
    """
    return _read(user_path(path, ConfigError).resolve(), seen=[])


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
        require_regular(path.parent / name, ConfigError, f"{path}: include", name)
        merged |= _read((path.parent / name).resolve(), seen)
        merged.pop("task_list", None)
    return merged | config


def _parse(path: Path, included_by: Path | None) -> dict[str, Any]:
    try:
        if (size := path.stat().st_size) > _LONGEST_YAML:
            raise ConfigError(
                f"a YAML has {_LONGEST_YAML / 1e6:.0f} MB at most", where=str(path),
                found=f"{size / 1e6:.1f} MB", remedy="put rows into files of their own",
            )  # fmt: skip
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
    config = yaml_value(text, str(path), path.parent)
    if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
        raise ConfigError(
            "the file must be a mapping of keys to values",
            where=str(path), found=config, remedy="start with a key, as in `key: value`",
        )  # fmt: skip
    return config


def yaml_value(text: str, where: str, folder: Path = Path()) -> Any:
    """One value of YAML, such as an option's; `where` is what holds it, for messages.

    `folder`: of the file that it stands in; a `!function` keeps it.

    Raises ConfigError as `read_yaml` does.
    """
    try:
        return _load(text, where, folder)
    except (yaml.YAMLError, ValueError, RecursionError) as cause:
        # ValueError: a date that does not exist, as in `2025-02-30`
        problem, mark = (getattr(cause, name, None) for name in ("problem", "problem_mark"))
        raise ConfigError(
            f"not valid YAML: {problem or str(cause).splitlines()[0]}",
            where=where + (f" line {mark.line + 1} column {mark.column + 1}" if mark else ""),
            remedy="quote values that hold ': ', '#' or start with '%', '*', '&' or '@'",
        ) from cause


def _load(text: str, where: str, folder: Path) -> Any:
    """The YAML's value, after its nodes were checked: each once, however often it is named."""
    loader = _Loader(text)
    loader.folder = folder
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        count = _expanded(node, loader, where, {})
        if count > _MOST_ALIASED:
            raise ConfigError(
                "aliases (`*name`) make this YAML too large", where=where,
                found=f"more than {_MOST_ALIASED} values",
                remedy="write out what is meant, without aliases of aliases",
            )  # fmt: skip
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _expanded(node: yaml.Node, loader: _Loader, where: str, known: dict[int, int | None]) -> int:
    """How many values the aliases below a node add; refuses duplicate keys, and circles."""
    if isinstance(node, yaml.ScalarNode):
        if id(node) not in known and _HALF.search(node.value):
            raise ConfigError(
                "half of a character, which no file can hold",
                where=f"{where} line {node.start_mark.line + 1}", found=node.value,
                remedy="write the whole character",
            )  # fmt: skip
        known[id(node)] = 0
        return 0
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            mark = node.start_mark
            raise ConfigError(
                "a value that holds itself, by an alias", where=f"{where} line {mark.line + 1}",
                remedy="write out what is meant",
            )  # fmt: skip
        return size
    known[id(node)] = None
    total = 0
    if isinstance(node, yaml.MappingNode):
        _refuse_repeated(node, loader, where)
        children = [child for pair in node.value for child in pair]
    else:
        children = node.value
    for child in children:
        seen = id(child) in known
        below = _expanded(child, loader, where, known)
        if seen:
            text = isinstance(child, yaml.ScalarNode)
            below += len(child.value) // (_CHARACTERS if text else 1)
        total += below
    known[id(node)] = min(total, 2 * _MOST_ALIASED)
    return total


def _refuse_repeated(node: yaml.MappingNode, loader: _Loader, where: str) -> None:
    first: dict[Any, yaml.Node] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        value = loader.construct_object(key)
        before = first.setdefault(value, key)
        if before is not key:
            raise ConfigError(
                f"duplicate key {value!r}", where=f"{where} line {key.start_mark.line + 1}",
                found=f"first in line {before.start_mark.line + 1}", remedy="keep one of them",
            )  # fmt: skip


def student_folder(name: str) -> str:
    """A student as it was named; the folder of the package's own for `bundled`."""
    return str(bundled_student()) if name == BUNDLED else name


def is_adapter(folder: str | Path) -> bool:
    """Whether a folder holds an adapter that PEFT saved, and no whole model."""
    folder = Path(folder)
    return (folder / ADAPTER).is_file() and not (folder / "config.json").is_file()


def check_model_folder(name: object, where: str) -> None:
    """Refuse a model's name that can only be a local path, where no model is (StudentError)."""
    if not isinstance(name, str):
        return
    path = user_path(name, StudentError, where)
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
