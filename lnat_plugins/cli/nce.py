"""`lnat nce`: row weights from how far two students are apart on each response."""

from __future__ import annotations

import argparse
from pathlib import Path

from lnat_plugins.cli.shared import add_overwrite, command, log, print_result
from lnat_plugins.files import student_folder


def declare_nce(parser: argparse.ArgumentParser) -> None:
    """`lnat nce`: reads every response with both students, writes the weights, prints the table."""
    parser.description = (
        "Weighs every response of a teacher set by how far two students are apart on it: 0.5 + "
        "tanh(KL), as Turning Dust into Gold. Both are in memory, and each reads every response. "
        "`lnat select --weights FILE` trains with the weights. See docs/metrics/contrast.md."
    )
    add = parser.add_argument
    add("file", type=Path, metavar="SET.yaml", help="the teacher set")
    add(
        "--positive", required=True, metavar="S",
        help="the student trained on right responses: a folder, also one of an adapter, a name "
        "on the Hub, or `bundled`",
    )  # fmt: skip
    add(
        "--negative", required=True, metavar="S",
        help="the one trained on wrong responses, with the same tokenizer",
    )  # fmt: skip
    add("--output_path", required=True, type=Path, metavar="FILE", help="the weights, JSON lines")
    add_overwrite(add)
    add("--apply_chat_template", action="store_true", help="as the same option of lm_eval")
    add("--device", help="of both; by default cuda where there is one")
    parser.set_defaults(run=_nce)


def _nce(args: argparse.Namespace) -> int:
    from lnat_plugins.api import load_teacher_set
    from lnat_plugins.nce import nce_weights
    from lnat_plugins.nce.run import check_same_tokenizer
    from lnat_plugins.scoring.check_student import load_student
    from lnat_plugins.selection.weights import check_output

    check_output(args.output_path, overwrite=args.overwrite)
    teacher_set = load_teacher_set(args.file)
    (positive, tokenizer), (negative, other) = (
        load_student(student_folder(name), device=args.device, option=option)
        for name, option in ((args.positive, "--positive"), (args.negative, "--negative"))
    )
    check_same_tokenizer(tokenizer, other)
    found = nce_weights(
        positive, negative, tokenizer, teacher_set, apply_chat_template=args.apply_chat_template
    )
    print_result(found.to_markdown([args.positive, args.negative]))
    found.write(args.output_path, overwrite=args.overwrite)
    log(f"wrote {args.output_path}")
    options = {"strategy": "all", "weights": args.output_path}
    log(f"next: {command('select', ['OUT'], options)}")
    log("(in place of OUT: what lm_eval --log_samples wrote of this set)")
    return 0
