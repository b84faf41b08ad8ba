"""`lnat tasks`: the teacher sets at hand, and what is wrong with one that lm-eval does not show.

`lnat plugins`: what is loaded, from where, and what each plugin brings; and `--plugins`.

`lnat student`: where the bundled student lies, for `--model_args pretrained=$(lnat student)`.

`lnat eval`: lm_eval itself, with the student's path checked first.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lnat_plugins.cli.shared import Commands, remark, say
from lnat_plugins.errors import PluginWarning, StudentError

if TYPE_CHECKING:
    from lnat_plugins.plugins import LoadedPlugin, Plugins
    from lnat_plugins.teacher_set import TeacherSet
    from lnat_plugins.teacher_set.catalog import TaskInfo


def add_tasks_command(commands: Commands) -> None:
    """Declare the arguments."""
    parser = commands.add_parser(
        "tasks",
        help="list teacher sets, or check one",
        description="Lists the teacher sets that lm_eval can score, or checks one YAML file.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--check", type=Path, metavar="FILE", help="load this YAML and its data, as a run would"
    )
    parser.add_argument(
        "--include_path", type=Path, metavar="DIR", help="list the YAML files of this folder too"
    )
    parser.set_defaults(run=run_tasks_command)


def run_tasks_command(args: argparse.Namespace) -> int:
    """Print the list or the report; an unusable YAML under --check is an error."""
    from lnat_plugins.plugins import load_plugins, load_with_plugins
    from lnat_plugins.teacher_set.catalog import check_task, list_tasks

    if args.check:
        say(_report(args.check, check_task(args.check, load_with_plugins)))
        return 0
    splitters = load_plugins().registry.splitters
    tasks = list_tasks((), splitters)
    if args.include_path:
        tasks += list_tasks([args.include_path], splitters)
    say(_listing(tasks))
    return 0


def _listing(tasks: list[TaskInfo]) -> str:
    blocks = [
        f"{task.name}\n"
        + (f"    {task.description}\n" if task.description else "")
        + f"    data: {task.data}\n    file: {task.path}\n"
        for task in tasks
        if task.ok
    ]
    # Of a task that is not ok, the description is the error, which names the file.
    blocks += [f"cannot be used: {task.description}\n" for task in tasks if not task.ok]
    return "".join(blocks) or "No teacher set found.\n"


def _report(path: Path, found: TeacherSet) -> str:
    counts = Counter(one.teacher for prompt in found.prompts for one in prompt.responses)
    lines = [
        f"{path}: ok",
        f"task: {found.name}, prompts: {len(found.prompts)}, data: {found.fingerprint}",
        *(f"teacher {name}: {counts[name]} responses" for name in found.teachers),
        *(f"dropped {count} responses: {reason}" for reason, count in found.dropped.items()),
    ]
    return "\n".join(lines) + "\n"


def add_plugins_command(commands: Commands) -> None:
    """Declare the arguments."""
    parser = commands.add_parser(
        "plugins",
        help="list the plugins that are loaded",
        description="Lists the plugins in the order of loading; the last one is asked first.",
        allow_abbrev=False,
    )
    add_plugins(parser)
    parser.set_defaults(run=run_plugins_command)


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


def run_plugins_command(args: argparse.Namespace) -> int:
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


def add_student_command(commands: Commands) -> None:
    """Declare the (no) arguments."""
    parser = commands.add_parser(
        "student",
        help="print the folder of the bundled student",
        description="Prints the absolute path of the small student that comes with the package.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run_student_command)


def run_student_command(args: argparse.Namespace) -> int:
    """Print the path alone, so that a shell can use it."""
    folder = Path(str(files("lnat_plugins") / "student")).absolute()
    if not folder.is_dir():
        raise StudentError(
            "the bundled student is missing from this installation",
            where=str(folder),
            remedy="run pip install --force-reinstall lnat-plugins",
        )
    say(f"{folder}\n")
    return 0


def add_eval_command(commands: Commands) -> None:
    """Declare that everything behind the word goes to lm_eval."""
    parser = commands.add_parser(
        "eval",
        help="run lm_eval with all arguments as given",
        description="Runs lm_eval with all arguments as given. Differs from it in two points: a "
        "wrong path to the student is one line, and the shipped tasks are found from a source "
        "checkout too.",
        add_help=False,
        allow_abbrev=False,
        prefix_chars="\0",
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    parser.set_defaults(run=run_eval_command)


def run_eval_command(args: argparse.Namespace) -> int:
    """Hand over to the harness and return its exit code."""
    from lnat_plugins.harness.command import run_lm_eval

    return run_lm_eval(args.arguments)
