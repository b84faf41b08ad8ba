"""`lnat tasks`, `check`, `plugins`, `student`; `eval` and `sft`, which hand on their arguments."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from lnat_plugins.cli.shared import add_plugins, log, print_result, read_plugins
from lnat_plugins.files import BUNDLED, bundled_student, shown


def declare_tasks(parser: argparse.ArgumentParser) -> None:
    """`lnat tasks`: a block a teacher set, those that cannot be used last."""
    parser.description = "Lists the teacher sets that lm_eval can score."
    parser.add_argument(
        "--include_path", type=Path, metavar="DIR", help="list the YAML files of this folder too"
    )
    parser.set_defaults(run=_tasks)


def _tasks(args: argparse.Namespace) -> int:
    from lnat_plugins.plugins import load_plugins
    from lnat_plugins.teacher_set.catalog import list_tasks

    splitters = load_plugins().registry.splitters
    tasks = list_tasks((), splitters)
    if args.include_path:
        tasks += list_tasks([args.include_path], splitters)
    text = ""
    for task in sorted(tasks, key=lambda task: not task.ok):
        # Of a task that is not ok, the description is the error, which names the file.
        if not task.ok:
            text += f"cannot be used: {task.description}\n"
            continue
        description = f"    {task.description}\n" if task.description else ""
        text += f"{task.name}\n{description}    data: {task.data}\n    file: {task.path}\n"
    print_result(text or "No teacher set found.\n")
    return 0


def declare_check(parser: argparse.ArgumentParser) -> None:
    """`lnat check`: what a teacher set holds, or the error that is in it."""
    parser.description = (
        "Loads a teacher set's YAML and its data as a run would. lm_eval passes over a YAML that "
        "cannot be used without a word; this says what is wrong with it."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the YAML")
    parser.add_argument(
        "--strict", action="store_true", help="a row that cannot be used is an error"
    )
    parser.add_argument(
        "--student", metavar="S",
        help="say too what this student would read: a folder, a name on the Hub, or `bundled`",
    )  # fmt: skip
    parser.add_argument(
        "--apply_chat_template", action="store_true", help="as the same option of lm_eval"
    )
    parser.add_argument("--device", help="of the trial; by default cuda where there is one")
    parser.add_argument(
        "--no_trial", action="store_true",
        help="load no model and score no prompt, so that no time is estimated",
    )  # fmt: skip
    parser.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    from lnat_plugins.api import check_teacher_set

    found = check_teacher_set(
        args.file, args.student, apply_chat_template=args.apply_chat_template, device=args.device,
        trial=not args.no_trial, strict=args.strict,
    )  # fmt: skip
    print_result(found.to_markdown())
    student = args.student or BUNDLED
    model = "$(lnat student)" if student == BUNDLED else shlex.quote(student)
    unused = found.student is not None and found.student.unused_template
    template = " --apply_chat_template" * (args.apply_chat_template or unused)
    log(
        f"next: lm_eval --model hf --model_args pretrained={model} --tasks "
        f"{shlex.quote(shown(args.file))}{template} --log_samples --output_path scores"
    )
    if args.student is None:
        log("(in place of $(lnat student): the folder or name of your student)")
    return 0


def declare_plugins(parser: argparse.ArgumentParser) -> None:
    """`lnat plugins`: a block a plugin."""
    parser.description = "Lists the plugins in the order of loading; the last one is called first."
    add_plugins(parser)
    parser.set_defaults(run=_plugins)


def _plugins(args: argparse.Namespace) -> int:
    for plugin in read_plugins(args).loaded:
        lines = [plugin.name, f"    from: {plugin.origin}"]
        if plugin.error:
            lines.append(f"    not loaded: {plugin.error}")
        if plugin.implements:
            lines.append(f"    implements: {', '.join(plugin.implements)}")
        lines += [f"    {kind}: {', '.join(names)}" for kind, names in plugin.registers.items()]
        print_result("\n".join(lines) + "\n")
    return 0


def declare_student(parser: argparse.ArgumentParser) -> None:
    """`lnat student`: the path alone, so that a shell can use it."""
    parser.description = (
        "Prints the absolute path of the small student that comes with the package."
    )
    parser.set_defaults(run=_student)


def _student(args: argparse.Namespace) -> int:
    print_result(f"{bundled_student()}\n")
    return 0


def declare_eval(parser: argparse.ArgumentParser) -> None:
    """`lnat eval`: lm_eval with every argument that follows.

    Differs from it in two points: a wrong path to the student is one line, and the shipped tasks
    are found from a source checkout too.
    """
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    parser.set_defaults(run=_eval)


def _eval(args: argparse.Namespace) -> int:
    from lnat_plugins.harness.command import run_lm_eval

    return run_lm_eval(args.arguments)


def declare_sft(parser: argparse.ArgumentParser) -> None:
    """`lnat sft`: `python -m lnat_plugins.hooks.trl_sft` with every argument that follows.

    It runs in this process; several are started by `accelerate launch -m`.
    """
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    parser.set_defaults(run=_sft)


def _sft(args: argparse.Namespace) -> int:
    from lnat_plugins.hooks.trl_sft import main

    code: int = main(args.arguments)
    return code
