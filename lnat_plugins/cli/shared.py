"""What the commands share: arguments, results on stdout, lines about the run on stderr."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lnat_plugins.errors import ConfigError, PluginWarning
from lnat_plugins.files import write_atomic

if TYPE_CHECKING:
    from lnat_plugins.api import Scores
    from lnat_plugins.plugins import Plugins


def print_result(text: str) -> None:
    """Print a result; a terminal that lacks a character (↑, Σ) gets "?" in its place."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def log(text: str) -> None:
    """Print a line about the run, beside its result."""
    print(f"lnat: {text}", file=sys.stderr)


def write_output(path: Path, text: str) -> None:
    """Write a text file whole, and log it.

    Raises:
        ConfigError: the folder cannot be made or written to.
    """
    write_atomic(path, text, "--output_path")
    log(f"wrote {path}")


@contextmanager
def plugin_warnings_as_lines() -> Iterator[None]:
    """Log warnings about plugins, one line each, as they come."""
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
                log(f"warning: {message}")
            else:
                show_others(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def split_names(listed: str | None, option: str) -> list[str] | None:
    """ "A, B" -> ["A", "B"]; None stays None. ConfigError for a name listed twice."""
    if listed is None:
        return None
    found = [name.strip() for name in listed.split(",")]
    twice = [name for place, name in enumerate(found) if name in found[:place]]
    if twice:
        raise ConfigError(f"duplicate name {twice[0]!r}", where=option, remedy="name it once")
    return found


def add_plugins(parser: argparse.ArgumentParser) -> None:
    """Declare `--plugins`."""
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


def add_ranking(parser: argparse.ArgumentParser) -> None:
    """Declare what `lnat rank` and `lnat report` take alike."""
    add = parser.add_argument
    add("--window", help="a scored window; default: the first of the settings")
    add("--teachers", metavar="A,B", help="compare only these teachers; default: all")
    add(
        "--reference",
        metavar='FILE|"A>B=C"',
        help="what is known of the teachers: a JSON or YAML file of teacher: accuracy, or an order",
    )
    add("--bootstrap_iters", type=int, default=10_000, help="default: %(default)s")
    add("--seed", type=int, default=1234, help="default: %(default)s")
    add_plugins(parser)


def log_files(scores: Scores) -> None:
    """Log which files were read, which were not, and how many rows stand in several of them."""
    for file in scores.scored.files:
        log(f"read {file}")
    for reason in scores.scored.skipped:
        log(f"skipped {reason}")
    if scores.scored.duplicates:
        log(f"{scores.scored.duplicates} responses stand in several files; each counts once")


def warn_unloaded(scores: Scores) -> None:
    """Warn of metrics that the responses were scored for and whose plugin is not loaded now."""
    for name in scores.unloaded_metrics:
        log(
            f"warning: task {scores.scored.task} was scored for metric {name!r} too, which is "
            "not compared: give its plugin with --plugins"
        )
