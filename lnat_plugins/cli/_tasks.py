"""`lnat tasks`: the teacher sets at hand, and what is wrong with one that lm-eval does not show."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lnat_plugins.cli._output import Commands, say

if TYPE_CHECKING:
    from lnat_plugins.tasks_index import CheckReport, TaskInfo


def add(commands: Commands) -> None:
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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the list or the report; an unusable YAML under --check is an error."""
    from lnat_plugins.plugins import load_plugins, load_with_plugins
    from lnat_plugins.tasks_index import check_task, list_tasks

    if args.check:
        report = check_task(args.check, load_with_plugins)
        if report.error is not None:
            raise report.error
        say(_report(report))
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


def _report(report: CheckReport) -> str:
    lines = [
        f"{report.path}: ok",
        f"task: {report.name}, prompts: {report.n_prompts}, data: {report.fingerprint}",
        *(f"teacher {name}: {count} responses" for name, count in report.responses.items()),
        *(f"dropped {count} responses: {reason}" for reason, count in report.dropped.items()),
    ]
    return "\n".join(lines) + "\n"
