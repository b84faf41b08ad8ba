"""Which hooks a plugin implements, and whether it does so as the specifications say.

Knows nothing of what the hooks are for.
"""

from __future__ import annotations

import inspect
from typing import Final

import pluggy

from lnat_plugins import hookspecs
from lnat_plugins.errors import ConfigError, did_you_mean

PROJECT: Final = "lnat_plugins"


def new_manager() -> pluggy.PluginManager:
    """A manager that knows our hooks and no plugin."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def hook_names(manager: pluggy.PluginManager) -> tuple[str, ...]:
    """The hooks there are, as specified."""
    found = (name for name in vars(hookspecs) if manager.parse_hookspec_opts(hookspecs, name))
    return tuple(found)


def signature(hook: str) -> str:
    """As docs/plugins.md shows it: `lnat_selected(selection: Selection) -> None`."""
    # Annotations are kept as text, which Python prints in quotes.
    return hook + str(inspect.signature(getattr(hookspecs, hook))).replace("'", "")


def register(manager: pluggy.PluginManager, plugin: object, name: str) -> tuple[str, ...]:
    """Register a module or object; returns the hooks that it implements.

    Raises:
        ConfigError: a class, an object without hooks, a hook that does not exist, an argument
            that the hook does not have, a wrapper.
    """
    if inspect.isclass(plugin):
        raise ConfigError("this is a class", where=name, remedy="give an object of it")
    try:
        hash(plugin)
    except TypeError:
        raise ConfigError(
            "this object cannot be told from others: it has no hash",
            where=name,
            remedy="if it is a dataclass, write @dataclass(eq=False)",
        ) from None
    known = hook_names(manager)
    _refuse_unmarked(manager, plugin, name, known)
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as cause:
        raise _invalid(manager, plugin, name, known, cause) from None
    callers = manager.get_hookcallers(plugin) or []
    implements = tuple(hook for hook in known if hook in {caller.name for caller in callers})
    if not implements:
        raise ConfigError(
            "this implements no hook",
            where=name,
            remedy=f"mark functions named {', '.join(known)} with @hookimpl",
        )
    _refuse_wrappers(manager, plugin, name)
    return implements


def _invalid(
    manager: pluggy.PluginManager,
    plugin: object,
    name: str,
    known: tuple[str, ...],
    cause: pluggy.PluginValidationError,
) -> ConfigError:
    callers = manager.get_hookcallers(plugin) if manager.is_registered(plugin) else None
    for caller in callers or []:
        if not caller.has_spec():
            return ConfigError(
                "there is no such hook",
                where=name,
                found=caller.name,
                remedy=did_you_mean(caller.name, known),
            )
    told = str(cause)
    hook = next((hook for hook in known if f"hook '{hook}'" in told), known[0])
    return ConfigError(
        f"{hook} is not implemented as it is specified: {told.strip().splitlines()[-1]}",
        where=name,
        remedy=f"take any of the arguments of {signature(hook)}, under their names",
    )


def _refuse_unmarked(
    manager: pluggy.PluginManager, plugin: object, name: str, known: tuple[str, ...]
) -> None:
    """A hook without its mark would never be called, and nobody would hear of it."""
    for hook in known:
        found = inspect.getattr_static(plugin, hook, None)
        if found in (None, getattr(hookspecs, hook)):
            continue
        if not manager.parse_hookimpl_opts(plugin, hook):
            raise ConfigError(
                f"{hook} is not marked as a hook, so it would never be called",
                where=name,
                remedy="write @hookimpl above it (from lnat_plugins import hookimpl)",
            )


def _refuse_wrappers(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Every answer must be of one plugin, which can then be named."""
    for caller in manager.get_hookcallers(plugin) or []:
        for each in caller.get_hookimpls():
            if each.plugin is plugin and (each.wrapper or each.hookwrapper):
                raise ConfigError(
                    f"{caller.name} is a wrapper around other plugins, which is not supported",
                    where=name,
                    remedy="answer the hook itself; the built-in choice is lnat_plugins.choose",
                )
