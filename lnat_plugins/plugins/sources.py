"""Where plugins come from: the package, installed packages, names in a configuration, objects.

Nothing is imported here before `Found.load` is called.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from lnat_plugins.errors import ConfigError
from lnat_plugins.plugins.found import Found

GROUP: Final = "lnat_plugins"

BUILT_IN: Final = (
    "lnat_plugins.hooks.splitters",
    "lnat_plugins.hooks.metrics",
    "lnat_plugins.hooks.strategies",
    "lnat_plugins.hooks.loaders",
    "lnat_plugins.hooks.select",
)


def built_in() -> Iterator[Found]:
    """The package's own hook implementations."""
    for name in BUILT_IN:
        yield Found(name, "built in", partial(_import_own, name))


def _import_own(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as cause:
        if cause.name != "lnat_plugins.hooks":
            raise
        raise ConfigError(
            "lnat-plugins is not installed; only its source is on Python's path",
            remedy="run pip install -e . in the checkout",
        ) from None


def installed() -> Iterator[Found]:
    """The entry points of installed packages, by package and name, so that the order is fixed."""
    for entry in sorted(entry_points(group=GROUP), key=lambda one: (_package(one), one.name)):
        yield Found(entry.name, f"entry point of {_package(entry)}", entry.load, named=False)


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"


def named(names: Sequence[str | Path], base_dir: Path, where: str) -> Iterator[Found]:
    """Modules by dotted name, and files by a path that ends in .py, from `base_dir`."""
    for given in [names] if isinstance(names, str) else names:
        if not isinstance(given, str | Path):
            raise ConfigError(
                "this is no name", where=where, found=given, remedy="give objects as `objects`"
            )
        name = str(given)
        if name.endswith(".py"):
            path = base_dir / Path(name).expanduser()
            yield Found(name, f"file {path}", partial(_import_file, path, where))
        else:
            yield Found(name, "module", partial(_import_module, name, where))


def objects(given: Sequence[object]) -> Iterator[Found]:
    """Objects of the program that runs; several of one type are numbered."""
    for number, one in enumerate(given, start=1):
        name = one.__name__ if isinstance(one, ModuleType) else type(one).__qualname__
        yield Found(name, f"object {number}", partial(_same, one))


def _same(one: object) -> object:
    return one


def _import_module(name: str, where: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(
            "this is neither the dotted name of a module nor a path that ends in .py",
            where=where,
            found=name,
            remedy="write my_package.my_module, or folder/my_plugin.py",
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as cause:
        # A module that is missing inside the plugin is the plugin's failure, told elsewhere.
        if cause.name is None or not f"{name}.".startswith(f"{cause.name}."):
            raise
        raise ConfigError(
            "no such module",
            where=where,
            found=name,
            remedy="install the package that holds it, or give a file's path that ends in .py",
        ) from None


def _import_file(path: Path, where: str) -> ModuleType:
    """The file as a module of its own; the same text at the same place is run only once."""
    try:
        text = path.read_bytes()
    except OSError as cause:
        raise ConfigError(
            f"the file cannot be read: {cause.strerror or cause}",
            where=where,
            found=str(path),
            remedy="give a path from the folder of the file that names it",
        ) from None
    place = str(path.resolve())
    name = f"lnat_plugin_{hashlib.sha256(place.encode() + text).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, place)
    if spec is None:
        raise ConfigError("not a Python file", where=where, found=str(path))
    module = module_from_spec(spec)
    # Dataclasses look their module up while it runs.
    sys.modules[name] = module
    try:
        # Not the loader's own way: its cached bytecode can be of another text.
        exec(compile(text, place, "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module
