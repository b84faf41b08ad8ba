"""A plugin before and after it is loaded: its name, and where it comes from.

Knows nothing of hooks.

LNAT_TRACE_PLUGINS=1: every hook call on stderr, with its arguments and its result.

Knows nothing of what the hooks are for. Values are shortened: a pool may hold 100,000 rows.

Which hooks a plugin implements, and whether it does so as the specifications say.

Knows nothing of what the hooks are for.

Where plugins come from: the package, installed packages, names in a configuration, objects.

Nothing is imported here before `Found.load` is called.

The plugins of one run: what they registered, and the two hooks around choosing.

Each plugin is asked on its own, so that an answer or a failure has a name.

The factory: every source in order, each plugin registered and asked what it brings.

Knows nothing of what the hooks decide.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pluggy

from lnat_plugins.errors import ConfigError, LnatError, PluginWarning, did_you_mean, shorten
from lnat_plugins.plugins import hookspecs
from lnat_plugins.plugins.registry import NameClashError, Registry
from lnat_plugins.selection import Candidates, Selection, SelectionSpec, Student


@dataclass(frozen=True)
class Found:
    """A plugin that was named, or found installed, and is not loaded yet.

    Attributes:
        name: module, entry point, file or type.
        origin: "built in", "entry point of my-package 1.0", "module", ...
        load: gives the module or object; may raise anything.
        named: whether the user named it, so that a failure is the user's to hear of. A failure
            of one that merely is installed must not stop a run that may not need it.
    """

    name: str
    origin: str
    load: Callable[[], object]
    named: bool = True

    def __str__(self) -> str:
        return f"{self.name} ({self.origin})"


@dataclass(frozen=True)
class LoadedPlugin:
    """What became of one plugin.

    Attributes:
        name, origin: as found.
        registers: "splitters", "metrics", "strategies", "loaders" -> names; only kinds it has.
        implements: names of the hooks.
        error: why it was left out; "" for a plugin that is loaded.
    """

    name: str
    origin: str
    registers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    implements: tuple[str, ...] = ()
    error: str = ""


VARIABLE: Final = "LNAT_TRACE_PLUGINS"
_LIMIT: Final = 300


def install(manager: pluggy.PluginManager) -> None:
    """Print the manager's calls from now on, if the environment asks for it."""
    if os.environ.get(VARIABLE, "0") not in ("", "0"):
        manager.add_hookcall_monitoring(_before, _after)


def _before(hook: str, called: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]) -> None:
    given = ", ".join(f"{name}={brief(value)}" for name, value in arguments.items())
    for each in called:
        _print(f"{each.plugin_name}: {hook}({given})")


def _after(
    outcome: pluggy.Result[Any],
    hook: str,
    called: Sequence[pluggy.HookImpl],
    arguments: Mapping[str, Any],
) -> None:
    for each in called:
        _print(f"{each.plugin_name}: {hook} -> {_told(outcome)}")


def _told(outcome: pluggy.Result[Any]) -> str:
    """What the one plugin that was called answered."""
    if (raised := outcome.exception) is not None:
        return f"raised {type(raised).__name__}: {shorten(str(raised))}"
    answer = outcome.get_result()
    if isinstance(answer, list):  # what pluggy makes of hooks that are not asked for one answer
        answer = answer[0] if answer else None
    return brief(answer)


def _print(line: str) -> None:
    print(f"lnat: trace: {line}", file=sys.stderr)


def brief(value: object) -> str:
    """A value in a few words: what is long or nested is only counted or named."""
    if not is_dataclass(value) or isinstance(value, type):
        return _word(value)
    parts = (f"{each.name}={_word(getattr(value, each.name))}" for each in fields(value))
    text = f"{type(value).__name__}({', '.join(parts)})"
    return text if len(text) <= _LIMIT else f"{text[: _LIMIT - 3]}..."


def _word(value: object) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return shorten(value)
    if isinstance(value, Sized):
        return f"<{type(value).__name__} of {len(value)}>"
    return f"<{type(value).__name__}>"


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


GROUP: Final = "lnat_plugins"

BUILT_IN: Final = ("lnat_plugins.hooks.builtin",)


def built_in_plugins() -> Iterator[Found]:
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


def installed_plugins() -> Iterator[Found]:
    """The entry points of installed packages, by package and name, so that the order is fixed."""
    for entry in sorted(entry_points(group=GROUP), key=lambda one: (_package(one), one.name)):
        yield Found(entry.name, f"entry point of {_package(entry)}", entry.load, named=False)


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"


def named_plugins(names: Sequence[str | Path], base_dir: Path, where: str) -> Iterator[Found]:
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


def given_objects(given: Sequence[object]) -> Iterator[Found]:
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

    def select(self, pool: Candidates, student: Student, spec: SelectionSpec) -> Selection:
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

    def _decide(self, pool: Candidates, student: Student, spec: SelectionSpec) -> Selection:
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


def _checked(answer: object, pool: Candidates, name: str) -> Selection:
    if not isinstance(answer, Selection):
        raise _wrong(name, "something that is no `Selection`", answer)
    try:
        problem = answer.problem()
    except Exception as cause:
        raise _wrong(name, "a `Selection` whose parts cannot be read", cause) from cause
    if problem:
        raise _wrong(name, f"a wrong selection: {problem}", answer)
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
    install(manager)
    registry = Registry()
    loaded: list[LoadedPlugin] = []
    for found in chain(
        built_in_plugins(),
        installed_plugins(),
        named_plugins(named, base_dir or Path.cwd(), where),
        given_objects(objects),
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
                raise _load_told(found, cause) from cause
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
    error = str(_load_told(found, cause))
    if str(found) not in error:  # what a plugin itself raises need not say whose it is
        error = f"{found}: {error}"
    if manager.has_plugin(str(found)):
        manager.unregister(name=str(found))
    warnings.warn(f"a plugin is left out: {error}", PluginWarning, stacklevel=3)
    return LoadedPlugin(found.name, found.origin, error=error)


def _load_told(found: Found, cause: BaseException) -> LnatError:
    if isinstance(cause, LnatError):
        return cause
    return ConfigError(
        f"the plugin cannot be loaded: {type(cause).__name__}: {cause}",
        where=str(found),
        remedy="mend it, or leave it out",
    )
