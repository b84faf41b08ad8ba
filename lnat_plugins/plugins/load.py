"""Loads plugins, and calls the two hooks around choosing rows.

Each plugin is loaded and called by itself, so that messages can name it. With LNAT_TRACE_PLUGINS=1
in the environment every hook call is printed to stderr.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pluggy

from lnat_plugins.errors import (
    PASSES_ON,
    ConfigError,
    LnatError,
    PluginWarning,
    class_and_text,
    did_you_mean,
    shorten,
    visible,
)
from lnat_plugins.plugins import hookspecs
from lnat_plugins.plugins.registry import NameClashError, Registry
from lnat_plugins.plugins.sources import plugin_sources
from lnat_plugins.selection import Selection, SelectionSpec, Student
from lnat_plugins.selection.answers import as_trained, mixed
from lnat_plugins.selection.arrange import arrange
from lnat_plugins.selection.degenerate import with_degenerate
from lnat_plugins.teacher_set import Candidates

HOOKS: Final = tuple(name for name in vars(hookspecs) if name.startswith("lnat_"))
_PACKAGE: Final = str(Path(__file__).resolve().parent.parent)


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin that was loaded, or why it was not.

    Attributes:
        name, origin: as in `PluginSource`.
        registers: "splitters", "metrics", "strategies", "loaders" -> names; only kinds it has.
        implements: names of the hooks.
        error: "" if it was loaded.
    """

    name: str
    origin: str
    registers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    implements: tuple[str, ...] = ()
    error: str = ""


def load_plugins(
    named: Sequence[str | Path] = (),
    *,
    objects: Sequence[object] = (),
    base_dir: Path | None = None,
    where: str = "plugins",
) -> Plugins:
    """Load the built-in plugin, then the installed ones, then `named`, then `objects`.

    Later ones are called first. A plugin that is found twice is loaded once.

    Args:
        named: modules by dotted name, and files by a path that ends in .py.
        objects: modules or objects with methods marked `@hookimpl`.
        base_dir: where paths start from; by default the working directory.
        where: the setting that names them, for messages.

    Raises:
        ConfigError: a plugin that was named or given cannot be loaded, misspells a hook, or
            registers something wrong; two plugins register the same name.

    Warns:
        PluginWarning: an installed plugin that nobody named has such a fault; it is not loaded.
    """
    manager = pluggy.PluginManager("lnat_plugins")
    manager.add_hookspecs(hookspecs)
    if os.environ.get("LNAT_TRACE_PLUGINS", "0") not in ("", "0"):
        manager.add_hookcall_monitoring(_print_call, _print_result)
    registry = Registry()
    loaded: list[LoadedPlugin] = []
    for source in plugin_sources(named, objects, base_dir or Path.cwd(), where):
        name = str(source)
        try:
            plugin = source.load()
            if manager.is_registered(plugin):
                continue
            implements = _register(manager, plugin, name)
            # Nothing of a plugin is kept if it fails half way.
            added = Registry(name, registry)
            _call(manager, plugin, "lnat_register", registry=added)
            registry = added
        except PASSES_ON:
            raise
        except BaseException as cause:
            error = _load_error(name, cause)
            if source.named or isinstance(cause, NameClashError):
                raise error from cause
            if manager.has_plugin(name):
                manager.unregister(name=name)
            warnings.warn(f"a plugin is not loaded: {error}", PluginWarning, stacklevel=2)
            loaded.append(LoadedPlugin(source.name, source.origin, error=str(error)))
        else:
            registers = registry.added_by(name)
            loaded.append(LoadedPlugin(source.name, source.origin, registers, implements))
    return Plugins(Registry(earlier=registry), tuple(loaded), manager)


def _load_error(name: str, cause: BaseException) -> LnatError:
    """The failure with the plugin's name and line; an error of ours keeps its class and words."""
    where = f"{name}{_raised_at(cause)}"
    if not isinstance(cause, LnatError):
        what = f"the plugin cannot be loaded: {class_and_text(cause)}"
        return ConfigError(what, where=where, remedy="fix it, or leave it out")
    if name in str(cause) or where == name:
        return cause
    error = type(cause)(cause.what, where=where, remedy=cause.remedy)
    error.args = (f"{where}: {cause}",)
    return error


def _raised_at(cause: BaseException) -> str:
    """ ", /path/plugin.py line 12": the last line outside this package that led to the error."""
    frames = traceback.extract_tb(cause.__traceback__)
    theirs = [one for one in frames if not one.filename.startswith((_PACKAGE, "<frozen"))]
    return f", {theirs[-1].filename} line {theirs[-1].lineno}" if theirs else ""


def _register(manager: pluggy.PluginManager, plugin: object, name: str) -> tuple[str, ...]:
    """Register a module or object; returns the hooks that it implements.

    Raises:
        ConfigError: a class; an object without hooks; a hook that does not exist, is not marked,
            has an argument that the specification lacks, or wraps other plugins.
    """

    def refused(what: str, remedy: str) -> ConfigError:
        return ConfigError(what, where=name, remedy=remedy)

    if inspect.isclass(plugin):
        raise refused("this is a class", "give an object of it")
    for hook in HOOKS:
        function = inspect.getattr_static(plugin, hook, None)
        if function in (None, getattr(hookspecs, hook)):
            continue
        options = manager.parse_hookimpl_opts(plugin, hook)
        if not options:  # pluggy would skip it silently
            raise refused(
                f"{hook} is not marked as a hook, so it would never be called",
                "write @hookimpl above it (from lnat_plugins import hookimpl)",
            )
        if options.get("wrapper") or options.get("hookwrapper"):
            raise refused(
                f"{hook} is a wrapper around other plugins, which is not supported",
                "implement the hook itself; the built-in choice is lnat_plugins.selection.choose",
            )
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as cause:
        callers = manager.get_hookcallers(plugin) or []
        unknown = [caller.name for caller in callers if not caller.has_spec()]
        if unknown:
            raise ConfigError(
                "there is no such hook", where=name, found=unknown[0],
                remedy=did_you_mean(unknown[0], HOOKS),
            ) from None  # fmt: skip
        problem = str(cause)
        hook = next((hook for hook in HOOKS if f"hook '{hook}'" in problem), HOOKS[0])
        raise refused(
            f"{hook} is not implemented as it is specified: {problem.strip().splitlines()[-1]}",
            f"take any of the arguments of {signature(hook)}, under their names",
        ) from None
    implements = {caller.name for caller in manager.get_hookcallers(plugin) or []}
    if not implements:
        remedy = f"mark functions named {', '.join(HOOKS)} with @hookimpl"
        raise refused("this implements no hook", remedy)
    return tuple(hook for hook in HOOKS if hook in implements)


def signature(hook: str) -> str:
    """As docs/plugins.md shows it: `lnat_selected(selection: Selection) -> None`."""
    # Annotations are kept as text, which Python prints in quotes.
    return hook + str(inspect.signature(getattr(hookspecs, hook))).replace("'", "")


def _call(manager: pluggy.PluginManager, plugin: object, hook: str, **arguments: object) -> Any:
    """Call one plugin's implementation of a hook, if it has one."""
    others = [each for each in manager.get_plugins() if each is not plugin]
    return manager.subset_hook_caller(hook, others)(**arguments)


@dataclass(frozen=True)
class Plugins:
    """Plugins, loaded: what they register, and the choice of rows by them.

    Attributes:
        registry: splitters, metrics, strategies and loaders by name.
        loaded: every plugin in the order of loading, those that failed too.
        manager: pluggy's.
    """

    registry: Registry
    loaded: tuple[LoadedPlugin, ...]
    manager: pluggy.PluginManager

    def select(self, candidates: Candidates, student: Student, spec: SelectionSpec) -> Selection:
        """The selection of the last loaded plugin that returns one; then calls the observers.

        Raises:
            LnatError: a plugin refuses, fails, or returns no selection of these candidates.

        Warns:
            PluginWarning: an observer fails.
        """
        selection = arrange(self._decide(candidates, student, spec), spec)
        selection = mixed(selection, candidates, spec.mix_answers)
        selection = _with_notes(selection, candidates, student)
        for name, plugin in self._implementing("lnat_selected"):
            try:
                _call(self.manager, plugin, "lnat_selected", selection=selection)
            except BaseException as cause:  # noqa: PERF203 - an observer may fail
                if isinstance(cause, PASSES_ON):
                    raise
                where = f"{name}{_raised_at(cause)}"
                problem = f"{where}: lnat_selected failed: {class_and_text(cause)}"
                warnings.warn(visible(problem), PluginWarning, stacklevel=2)
        return selection

    def _decide(self, candidates: Candidates, student: Student, spec: SelectionSpec) -> Selection:
        arguments = {"candidates": candidates, "student": student, "config": spec}
        for name, plugin in self._implementing("lnat_select"):
            try:
                returned = _call(self.manager, plugin, "lnat_select", **arguments)
            except (LnatError, *PASSES_ON):
                raise
            except BaseException as cause:
                what = f"lnat_select failed: {class_and_text(cause)}"
                where, remedy = f"{name}{_raised_at(cause)}", "fix the plugin, or leave it out"
                raise ConfigError(what, where=where, remedy=remedy) from cause
            if returned is not None:
                return _checked(returned, candidates, name)
        raise ConfigError("no plugin made a choice", where=spec.source)

    def _implementing(self, hook: str) -> Iterator[tuple[str, object]]:
        """Name and plugin of each implementation, in pluggy's order: the last loaded first."""
        found = reversed(getattr(self.manager.hook, hook).get_hookimpls())
        yield from dict.fromkeys((each.plugin_name, each.plugin) for each in found)


def _with_notes(selection: Selection, candidates: Candidates, student: Student) -> Selection:
    """With its degenerate rows, warnings, and what training reads otherwise."""
    chosen = as_trained(selection, candidates, selection.indices)
    return replace(
        with_degenerate(selection, candidates), training_notes=student.training_notes(chosen)
    )


def _checked(returned: object, candidates: Candidates, name: str) -> Selection:
    def wrong(what: str, found: object = returned) -> ConfigError:
        what = f"lnat_select gave {what}"
        return ConfigError(what, where=name, found=found, remedy="fix the plugin")

    if not isinstance(returned, Selection):
        raise wrong("something that is no `Selection`")
    try:
        problem = returned.problem()
        plain = returned if problem else returned.plain(f"{name}: lnat_select gave a `Selection`")
    except (LnatError, *PASSES_ON):
        raise
    except BaseException as cause:
        raise wrong("a `Selection` whose parts cannot be read", cause) from cause
    if problem:
        raise wrong(f"a wrong selection: {problem}")
    size, rows = len(plain.scores), candidates.rows
    if size != len(rows):
        raise wrong(f"a selection of {size} rows for a pool of {len(rows)}")
    if plain.pool != candidates.fingerprint:
        raise wrong("a selection from another pool", plain.pool)
    of_rows = tuple(row.teacher for row in rows), tuple(row.prompt_id for row in rows)
    if (plain.teachers, plain.prompts) != of_rows:
        raise wrong("a selection with other teachers or prompts than the rows have")
    if not plain.indices:
        raise wrong("a selection of no row at all")
    return plain


def _print_call(hook: str, called: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]) -> None:
    given = ", ".join(f"{name}={_brief(value)}" for name, value in arguments.items())
    for each in called:
        print(f"lnat: trace: {each.plugin_name}: {hook}({given})", file=sys.stderr)


def _print_result(
    outcome: pluggy.Result[Any], hook: str, called: Sequence[pluggy.HookImpl],
    arguments: Mapping[str, Any],
) -> None:  # fmt: skip
    if (raised := outcome.exception) is not None:
        text = f"raised {type(raised).__name__}: {shorten(str(raised))}"
    else:
        returned = outcome.get_result()
        # Of a hook that is not `firstresult`, pluggy makes a list.
        text = _brief((returned or [None])[0] if isinstance(returned, list) else returned)
    for each in called:
        print(f"lnat: trace: {each.plugin_name}: {hook} -> {text}", file=sys.stderr)


def _brief(value: object) -> str:
    """A value in a few words; of a long one only its length, as there may be 100,000 rows."""
    if value is None or isinstance(value, bool | int | float | str):
        return shorten(value)
    size = f" of {len(value)}" if isinstance(value, Sized) else ""
    return f"<{type(value).__name__}{size}>"
