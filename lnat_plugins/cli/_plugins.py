"""`lnat plugins`: what is loaded, from where, and what each plugin brings; and `--plugins`."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from lnat_plugins.cli._output import Commands, remark, say
from lnat_plugins.errors import PluginWarning

if TYPE_CHECKING:
    from lnat_plugins.plugins import LoadedPlugin, Plugins


def add(commands: Commands) -> None:
    """Declare the arguments."""
    parser = commands.add_parser(
        "plugins",
        help="list the plugins that are loaded",
        description="Lists the plugins in the order of loading; the last one is asked first.",
        allow_abbrev=False,
    )
    add_plugins(parser)
    parser.set_defaults(run=run)


def add_plugins(parser: argparse.ArgumentParser) -> None:
    """Declare `--plugins`, for every command that can use some."""
    parser.add_argument(
        "--plugins",
        metavar="A,B",
        help="load these too: modules by name, or files by a path that ends in .py",
    )


def read_plugins(args: argparse.Namespace) -> Plugins:
    """The plugins that are installed and those that `--plugins` names."""
    from lnat_plugins.plugins import load_plugins

    names = [name.strip() for name in (args.plugins or "").split(",") if name.strip()]
    return load_plugins(names, where="--plugins")


@contextmanager
def plugin_remarks() -> Iterator[None]:
    """Print warnings about plugins as remarks, one line each, as they come."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", PluginWarning)
        show_others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, PluginWarning):
                remark(f"warning: {message}")
            else:
                show_others(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def run(args: argparse.Namespace) -> int:
    """Print one block a plugin."""
    say("".join(map(_block, read_plugins(args).loaded)))
    return 0


def _block(plugin: LoadedPlugin) -> str:
    lines = [plugin.name, f"    from: {plugin.origin}"]
    if plugin.error:
        lines.append(f"    left out: {plugin.error}")
    if plugin.implements:
        lines.append(f"    implements: {', '.join(plugin.implements)}")
    lines += [f"    {kind}: {', '.join(names)}" for kind, names in plugin.registers.items()]
    return "\n".join(lines) + "\n"
