"""The factory: every source in order, each plugin registered and asked what it brings.

Knows nothing of what the hooks decide.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pluggy

from lnat_plugins.errors import ConfigError, LnatError, PluginWarning
from lnat_plugins.plugins import sources, trace
from lnat_plugins.plugins.found import Found, LoadedPlugin
from lnat_plugins.plugins.implementations import new_manager, register
from lnat_plugins.plugins.loaded import Plugins, ask
from lnat_plugins.registry import NameClashError, Registry


def load_plugins(
    named: Sequence[str | Path] = (),
    *,
    objects: Sequence[object] = (),
    base_dir: Path | None = None,
    where: str = "plugins",
) -> Plugins:
    """Load the built-in plugins, then the installed ones, then `named`, then `objects`.

    Later ones are asked first. A plugin that comes up twice is loaded once. With
    LNAT_TRACE_PLUGINS=1 in the environment every hook call is printed to stderr.

    Args:
        named: modules by dotted name, and files by a path that ends in .py.
        objects: modules or objects with methods marked `@hookimpl`.
        base_dir: where paths start from; by default the working directory.
        where: what names them, for messages.

    Raises:
        ConfigError: a plugin that was named or given cannot be loaded, misspells a hook, or
            registers something wrong; two plugins register the same name.

    Warns:
        PluginWarning: an installed plugin that nobody named has such a fault; it is left out.
    """
    manager = new_manager()
    trace.install(manager)
    registry = Registry()
    loaded: list[LoadedPlugin] = []
    for found in chain(
        sources.built_in(),
        sources.installed(),
        sources.named(named, base_dir or Path.cwd(), where),
        sources.objects(objects),
    ):
        try:
            plugin = found.load()
            if manager.is_registered(plugin):
                continue
            implements = register(manager, plugin, str(found))
            registry = _collect(manager, plugin, found, registry)
        except (Exception, SystemExit) as cause:
            if isinstance(cause, NameClashError) or (found.named and isinstance(cause, LnatError)):
                raise
            if found.named:
                raise _told(found, cause) from cause
            loaded.append(_left_out(manager, found, cause))
        else:
            registers = registry.added_by(str(found))
            loaded.append(LoadedPlugin(found.name, found.origin, registers, implements))
    return Plugins(Registry(earlier=registry), tuple(loaded), manager)


def _collect(
    manager: pluggy.PluginManager, plugin: object, found: Found, earlier: Registry
) -> Registry:
    """What the plugin adds, on top of what was there; nothing of it if it fails half way."""
    registry = Registry(str(found), earlier)
    ask(manager, plugin, "lnat_register", registry=registry)
    return registry


def _left_out(manager: pluggy.PluginManager, found: Found, cause: BaseException) -> LoadedPlugin:
    error = str(_told(found, cause))
    if str(found) not in error:  # what a plugin itself raises need not say whose it is
        error = f"{found}: {error}"
    if manager.has_plugin(str(found)):
        manager.unregister(name=str(found))
    warnings.warn(f"a plugin is left out: {error}", PluginWarning, stacklevel=3)
    return LoadedPlugin(found.name, found.origin, error=error)


def _told(found: Found, cause: BaseException) -> LnatError:
    if isinstance(cause, LnatError):
        return cause
    return ConfigError(
        f"the plugin cannot be loaded: {type(cause).__name__}: {cause}",
        where=str(found),
        remedy="mend it, or leave it out",
    )
