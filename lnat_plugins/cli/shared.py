"""What the commands share: arguments, results on stdout, lines about the run on stderr."""

from __future__ import annotations

import argparse
import gc
import shlex
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnat_plugins.errors import ConfigError, PluginWarning, visible
from lnat_plugins.formatting import plural, split_list

if TYPE_CHECKING:
    from lnat_plugins.plugins import Plugins
    from lnat_plugins.scores import Scores

_MANY_ROWS = 50_000


def print_result(text: str, *, raw: bool = False) -> None:
    """Print a result; a terminal that lacks a character (↑, Σ) gets "?" in its place.

    What a terminal would obey, such as the escapes of a file's name, is written out, except in what
    is to be a file (`raw`).
    """
    text = text if raw else visible(text, keep="\n\t")
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def log(text: str) -> None:
    """Print a line about the run, beside its result."""
    print(f"lnat: {visible(text)}", file=sys.stderr)


def command(
    name: str, places: Sequence[str | Path], options: Mapping[str, object] | None = None
) -> str:
    """ "lnat rank out --metric ifd", to be printed and run.

    Options of None, "" or False are left out; one of True stands alone.
    """
    words = ["lnat", name, *map(str, places)]
    for option, value in (options or {}).items():
        if value is True:
            words.append(f"--{option}")
        elif value not in (None, "", False):
            words += [f"--{option}", str(value)]
    return shlex.join(words)


@contextmanager
def plugin_warnings_as_lines() -> Iterator[None]:
    """Log warnings about plugins, one line each, as they come."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", PluginWarning)
        show_others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *more: Any) -> None:
            if issubclass(category, PluginWarning):
                log(f"warning: {message}")
            else:
                show_others(message, category, *more)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def split_names(listed: str | None, option: str) -> list[str] | None:
    r""" "A, B" -> ["A", "B"]; None stays None. A comma of a name is written `\,`.

    ConfigError for a name listed twice.
    """
    if listed is None:
        return None
    names = split_list(listed)
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ConfigError(f"duplicate name {name!r}", where=option, remedy="name it once")
    return names


def add_plugins(parser: argparse.ArgumentParser) -> None:
    """Declare `--plugins`."""
    parser.add_argument(
        "--plugins", metavar="A,B",
        help="load these too: modules by name, or files by a path that ends in .py",
    )  # fmt: skip


def add_overwrite(add: Callable[..., Any]) -> None:
    """Declare `--overwrite`, by the `add_argument` of a parser or group."""
    add(
        "--overwrite", action="store_true",
        help="replace what is in the way though lnat did not write it",
    )  # fmt: skip


def read_plugins(args: argparse.Namespace) -> Plugins:
    """The plugins that are installed and those that `--plugins` names."""
    from lnat_plugins.plugins import load_plugins

    names = [name for name in split_list(args.plugins or "") if name]
    return load_plugins(names, where="--plugins")


def read_contrasted(
    sources: Sequence[str], plugins: Plugins, tokenizer: str | None = None
) -> Scores:
    """The scores of two students, joined for the metric `contrast`; logs what was joined.

    Raises:
        ConfigError: not two sources, or scores of two tasks.
        DataError: as `read_scores`.
    """
    from lnat_plugins.api import read_scores
    from lnat_plugins.engine.types import OTHER_LOG_PROB
    from lnat_plugins.scoring.contrast import NO_PARTNER

    if len(sources) != 2:
        raise ConfigError(
            "metric 'contrast' compares two students, and so reads two outputs", where="--metric",
            found=plural(len(sources), "output"),
            remedy="name first that of the student trained on right responses, then that of the "
            "one trained on wrong ones",
        )  # fmt: skip
    positive, negative = (read_scores(one, plugins=plugins, tokenizer=tokenizer) for one in sources)
    scores = positive.contrast(negative)
    told = Counter(row.record.undefined.get(OTHER_LOG_PROB, "") for row in scores.rows)
    log(
        f"contrast: {positive.scored.student} against {negative.scored.student}, "
        f"{plural(told.pop('', 0), 'response')} scored by both"
    )
    for reason, count in told.items():
        log(f"contrast: {plural(count, 'response')} undefined: {reason}")
    alone = len(negative.rows) - len(scores.rows) + told[NO_PARTNER]
    if alone:
        log(f"contrast: {plural(alone, 'response')} left out: scored by the second student alone")
    return scores


def log_files(scores: Scores) -> None:
    """Log which files were read, which were not, and how many rows stand in several of them."""
    for file in scores.scored.files:
        log(f"read {file}")
    for reason in scores.scored.skipped:
        log(f"skipped {reason}")
    if scores.scored.duplicates:
        log(f"{scores.scored.duplicates} responses stand in several files; each counts once")


def keep_to_the_end(scores: Iterable[Scores]) -> None:
    """Python's search for reference cycles leaves out what was read, and all else that is there.

    All of it stays until the command ends; with 500,000 responses, each search takes two seconds.
    """
    if sum(len(one.rows) for one in scores) >= _MANY_ROWS:
        gc.freeze()


def warn_unloaded(scores: Scores) -> None:
    """Warn of metrics that the responses were scored for and whose plugin is not loaded now."""
    for name in scores.unloaded_metrics:
        log(
            f"warning: task {scores.scored.task} was scored for metric {name!r} too, which is "
            "not compared: give its plugin with --plugins"
        )
