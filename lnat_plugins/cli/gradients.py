"""`lnat gradients`: teachers by the student's gradients on their responses (GRACE)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lnat_plugins.cli.shared import add_overwrite, command, log, print_result
from lnat_plugins.files import student_folder

_OPTION = "--output_path"


def declare_gradients(parser: argparse.ArgumentParser) -> None:
    """`lnat gradients`: reads every drawn response forward and backward, then prints the table."""
    parser.description = (
        "Takes the student's gradient on responses of every teacher to the same prompts and prints "
        "GRACE (lower is better), G-Norm and G-Vendi of each teacher. It costs a forward and a "
        "backward pass for each response, so no other command runs it. See docs/metrics/grace.md."
    )
    add = parser.add_argument
    add("file", type=Path, metavar="SET.yaml", help="the teacher set")
    add(
        "--student", required=True, metavar="S",
        help="a folder, a name on the Hub, or `bundled`; loaded in float32",
    )  # fmt: skip
    add(
        "--prompts", type=int, default=512, metavar="N",
        help="drawn among those that every teacher answers; default: %(default)s",
    )  # fmt: skip
    add(
        "--samples", type=int, default=4, metavar="N",
        help="responses of each teacher to a prompt, at most; default: %(default)s",
    )  # fmt: skip
    add(
        "--parameters", choices=("all", "last_layer", "lora"), default="all",
        help="by which gradients are taken; default: %(default)s, as the paper",
    )  # fmt: skip
    add(
        "--dimension", type=int, default=512, metavar="N",
        help="to which gradients are projected; default: %(default)s",
    )  # fmt: skip
    add(
        "--projection", choices=("sketch", "rademacher"), default="sketch",
        help="rademacher is the paper's and costs as many times more as there are dimensions; "
        "default: %(default)s",
    )  # fmt: skip
    add(
        "--folds", type=int, default=10, metavar="N",
        help="of the prompts, each held out once; default: %(default)s",
    )  # fmt: skip
    add(
        "--smoothing", type=float, default=1e-3, metavar="X",
        help="of the spectrum; default: %(default)s",
    )  # fmt: skip
    add("--bootstrap_iters", type=int, default=10_000, help="default: 10000")
    add("--seed", type=int, default=0, help="of all draws; default: %(default)s")
    add("--apply_chat_template", action="store_true", help="as the same option of lm_eval")
    add("--device", help="by default cuda where there is one")
    add("--output_path", type=Path, metavar="FILE", help="write the figures as JSON too")
    add_overwrite(add)
    parser.set_defaults(run=_gradients)


def _gradients(args: argparse.Namespace) -> int:
    from lnat_plugins.api import load_teacher_set
    from lnat_plugins.gradients import gradient_scores
    from lnat_plugins.gradients.run import check_options
    from lnat_plugins.outputs import check_file, with_keys, write_atomic
    from lnat_plugins.scoring.check_student import load_student

    names = ("prompts", "samples", "parameters", "dimension", "projection", "folds", "smoothing")
    options = {name: getattr(args, name) for name in names}
    options |= {"seed": args.seed, "bootstrap_iters": args.bootstrap_iters}
    check_options(**options)
    if args.output_path:
        ours = with_keys("grace_order", "teachers")
        check_file(args.output_path, ours, overwrite=args.overwrite, option=_OPTION)
    teacher_set = load_teacher_set(args.file)
    model, tokenizer = load_student(
        student_folder(args.student), device=args.device, dtype="float32"
    )
    found = gradient_scores(
        model, tokenizer, teacher_set, apply_chat_template=args.apply_chat_template, **options
    )
    print_result(found.to_markdown())
    if args.output_path:
        text = json.dumps(found.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomic(args.output_path, text, _OPTION)
        log(f"wrote {args.output_path}")
    if found.order:
        compared = {"metric": "all", "reference": found.order}
        log(f"next: {command('rank', ['OUT'], compared)}")
        log("(in place of OUT: what lm_eval --log_samples wrote of this set; how near each metric)")
    return 0
