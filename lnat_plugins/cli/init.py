"""`lnat init`: from data to a teacher set's YAML."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from lnat_plugins.cli.shared import add_overwrite, print_result
from lnat_plugins.errors import visible

_OPTIONS: Final = (
    "task", "prompt", "system", "response", "think", "teacher", "correct", "sample", "prompt_id",
    "layout", "turns", "split", "dataset_name", "teacher_from",
)  # fmt: skip


def declare_init(parser: argparse.ArgumentParser) -> None:
    """`lnat init`: what was taken for what, or a question with the option that settles it."""
    parser.description = (
        "Looks at data, recognises its layout, writes a teacher set's YAML and says what it took "
        "for what. What is not certain is an error that names the candidates and the option to "
        "choose by; nothing is written then."
    )
    add = parser.add_argument
    add(
        "data", nargs="*", metavar="DATA",
        help="files, a folder (one that save_to_disk wrote too), or a data set's id on the hub",
    )  # fmt: skip
    add(
        "--output_path", metavar="FILE",
        help="default: my_teachers.yaml beside the data; - prints the YAML and writes nothing",
    )  # fmt: skip
    add_overwrite(add)
    add("--task", metavar="NAME", help="the set's name; default: the YAML's file name")
    add(
        "--prompt",
        metavar="COL",
        help="the column of the prompt, or a path (input.text); several: COL,COL",
    )
    add("--system", metavar="COL", help="the column of the system text, or none")
    add(
        "--response", metavar="COL",
        help="the column of the response; with --layout wide one for each teacher: COL,COL",
    )  # fmt: skip
    add("--think", metavar="COL", help="the column of the thinking part, or none")
    add(
        "--teacher", nargs="+", action="extend", metavar="COL|NAME=FILE",
        help="the column that names the teachers, or whose responses each file holds (several "
        "files of one: NAME=A NAME=B)",
    )  # fmt: skip
    add("--correct", metavar="COL", help="the column of verdicts, or none")
    add("--sample", metavar="COL", help="the number of a teacher's several responses, or none")
    add("--prompt_id", metavar="COL", help="the column of the prompts' ids, or none")
    add(
        "--layout", metavar="NAME",
        help="long, wide, messages, prompt_completion, nested or batch",
    )  # fmt: skip
    add(
        "--turns", choices=("last", "all"),
        help="of conversations: the response is the last turn of the assistant, or all of them; "
        "default: all where tools are called",
    )  # fmt: skip
    add("--split", metavar="NAME", help="of a saved data set or one on the hub; default: train")
    add("--dataset_name", metavar="NAME", help="the configuration of a data set on the hub")
    add(
        "--teacher_from", choices=("column", "file_stem", "parent_dir"),
        help="take the teachers from the files' names or from their folders'",
    )  # fmt: skip
    parser.set_defaults(run=_init)


def _init(args: argparse.Namespace) -> int:
    from lnat_plugins.plugins import init_with_plugins
    from lnat_plugins.teacher_set.detect.create import STDOUT, ProposalError

    options = {name: getattr(args, name) for name in _OPTIONS}
    try:
        new = init_with_plugins(
            *args.data, output_path=args.output_path, overwrite=args.overwrite, **options
        )
    except ProposalError as error:
        print(visible(error.proposal, keep="\n"), file=sys.stderr)
        raise
    if args.output_path == STDOUT:
        print_result(new.yaml, raw=True)
        print(visible(new.to_text(), keep="\n"), end="", file=sys.stderr)
    else:
        print_result(new.to_text())
    return 0
