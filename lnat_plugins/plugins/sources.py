"""Where plugins come from: the package, installed packages, names in a configuration, objects.

Nothing is imported before `PluginSource.load` is called.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import user_path

GROUP: Final = "lnat_plugins"
"""The group of entry points that an installed package declares its plugins in."""

BUILT_IN: Final = "lnat_plugins.hooks.builtin"


@dataclass(frozen=True)
class PluginSource:
    """A plugin that was named, or found installed, and is not loaded yet.

    Attributes:
        name: module, entry point, file or type.
        origin: "built in", "entry point of my-package 1.0", "module", ...
        load: gives the module or object; may raise anything.
        named: whether its failure ends the run; a run may not need one that is only installed.
    """

    name: str
    origin: str
    load: Callable[[], object]
    named: bool = True

    def __str__(self) -> str:
        return f"{self.name} ({self.origin})"


def plugin_sources(
    named: Sequence[str | Path], objects: Sequence[object], base_dir: Path, where: str
) -> Iterator[PluginSource]:
    """The built-in plugin, the installed ones, the named ones, then the objects, numbered.

    The arguments are those of `load_plugins`.
    """
    yield PluginSource(BUILT_IN, "built in", _import_built_in)
    # By package and name, so that the order is fixed.
    for entry in sorted(entry_points(group=GROUP), key=lambda one: (_package(one), one.name)):
        origin = f"entry point of {_package(entry)}"
        yield PluginSource(entry.name, origin, entry.load, named=False)
    for given in [named] if isinstance(named, str) else named:
        if not isinstance(given, str | Path):
            raise ConfigError(
                "this is no name", where=where, found=given, remedy="give objects as `objects`"
            )
        name = str(given)
        if name.endswith(".py"):
            path = user_path(name, ConfigError, where, base_dir)
            yield PluginSource(name, f"file {path}", partial(import_file, path, where))
        else:
            yield PluginSource(name, "module", partial(_import_module, name, where))
    for number, one in enumerate(objects, start=1):
        name = one.__name__ if isinstance(one, ModuleType) else type(one).__qualname__
        yield PluginSource(name, f"object {number}", partial(_same, one))


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"


def _same(one: object) -> object:
    return one


def _import_built_in() -> ModuleType:
    try:
        return importlib.import_module(BUILT_IN)
    except ModuleNotFoundError as cause:
        if cause.name != "lnat_plugins.hooks":
            raise
        what = "lnat-plugins is not installed; only its source is on Python's path"
        raise ConfigError(what, remedy="run pip install -e . in the checkout") from None


def _import_module(name: str, where: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(
            "this is neither the dotted name of a module nor a path that ends in .py",
            where=where, found=name, remedy="write my_package.my_module, or folder/my_plugin.py",
        )  # fmt: skip
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as cause:
        # A module that is missing inside the plugin is the plugin's failure, reported as such.
        if cause.name is None or not f"{name}.".startswith(f"{cause.name}."):
            raise
        raise ConfigError(
            "no such module", where=where, found=name,
            remedy="install the package that holds it, or give a file's path that ends in .py",
        ) from None  # fmt: skip


def import_file(path: Path, where: str) -> ModuleType:
    """The file as a module of its own; the same text at the same path is run only once."""
    try:
        text = path.read_bytes()
    except OSError as cause:
        raise ConfigError(
            f"the file cannot be read: {cause.strerror or cause}", where=where, found=str(path),
            remedy="give a path from the folder of the file that names it",
        ) from None  # fmt: skip
    full_path = str(path.resolve())
    name = f"lnat_plugin_{hashlib.sha256(full_path.encode() + text).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, full_path)
    if spec is None:
        raise ConfigError("not a Python file", where=where, found=str(path))
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it runs
    try:
        # Not `loader.exec_module`, whose cached bytecode can be of another text.
        exec(compile(text, full_path, "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module
