"""The plugins of one run: what they registered, and the two hooks around choosing.

Each plugin is asked on its own, so that an answer or a failure has a name.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pluggy

from lnat_plugins.errors import ConfigError, LnatError, PluginWarning
from lnat_plugins.plugins.found import LoadedPlugin
from lnat_plugins.registry import Registry
from lnat_plugins.selection import Pool, Selection, SelectionSpec, Student


@dataclass(frozen=True)
class Plugins:
    """What `load_plugins` gives.

    Attributes:
        registry: splitters, metrics, strategies and loaders by name.
        loaded: every plugin in the order of loading, those left out too.
        manager: pluggy's.
    """

    registry: Registry
    loaded: tuple[LoadedPlugin, ...]
    manager: pluggy.PluginManager

    def select(self, pool: Pool, student: Student, spec: SelectionSpec) -> Selection:
        """Ask for a choice, check it, and tell those that listen.

        Raises:
            ConfigError: a plugin fails, or its selection is none of this pool; names the plugin.
            LnatError: what a plugin itself refuses.

        Warns:
            PluginWarning: a plugin that listens fails.
        """
        selection = self._decide(pool, student, spec)
        for name, plugin in self._implementing("lnat_selected"):
            self._tell(name, plugin, selection)
        return selection

    def _tell(self, name: str, plugin: object, selection: Selection) -> None:
        try:
            ask(self.manager, plugin, "lnat_selected", selection=selection)
        except Exception as cause:  # noqa: BLE001 - an observer may fail
            warnings.warn(
                f"{name}: lnat_selected failed: {type(cause).__name__}: {cause}",
                PluginWarning,
                stacklevel=3,
            )

    def _decide(self, pool: Pool, student: Student, spec: SelectionSpec) -> Selection:
        call = {"candidates": pool, "student": student, "config": spec}
        for name, plugin in self._implementing("lnat_select"):
            try:
                answer = ask(self.manager, plugin, "lnat_select", **call)
            except LnatError:
                raise
            except Exception as cause:
                raise ConfigError(
                    f"lnat_select failed: {type(cause).__name__}: {cause}",
                    where=name,
                    remedy="mend the plugin, or leave it out",
                ) from cause
            if answer is not None:
                return _checked(answer, pool, name)
        raise ConfigError("no plugin made a choice", where=spec.source)

    def _implementing(self, hook: str) -> Iterator[tuple[str, object]]:
        """Name and plugin of each implementation, in pluggy's order: the last loaded first."""
        found = reversed(getattr(self.manager.hook, hook).get_hookimpls())
        yield from dict.fromkeys((each.plugin_name, each.plugin) for each in found)


def ask(manager: pluggy.PluginManager, plugin: object, hook: str, **arguments: object) -> Any:
    """Call one plugin's implementation of a hook, if it has one."""
    others = [each for each in manager.get_plugins() if each is not plugin]
    return manager.subset_hook_caller(hook, others)(**arguments)


def _checked(answer: object, pool: Pool, name: str) -> Selection:
    if not isinstance(answer, Selection):
        raise _wrong(name, "something that is no `Selection`", answer)
    try:
        complaint = answer.complaint()
    except Exception as cause:
        raise _wrong(name, "a `Selection` whose parts cannot be read", cause) from cause
    if complaint:
        raise _wrong(name, f"a wrong selection: {complaint}", answer)
    if len(answer.scores) != len(pool.rows):
        what = f"a selection of {len(answer.scores)} rows for a pool of {len(pool.rows)}"
        raise _wrong(name, what, answer)
    if answer.pool != pool.fingerprint:
        raise _wrong(name, "a selection from another pool", answer.pool)
    if not answer.indices:
        raise _wrong(name, "a selection of no row at all", answer)
    return answer


def _wrong(name: str, what: str, found: object) -> ConfigError:
    return ConfigError(
        f"lnat_select gave {what}", where=name, found=found, remedy="mend the plugin"
    )
