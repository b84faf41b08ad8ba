"""`lnat report`: one HTML file to look at, from what lm-eval wrote. Computes nothing itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from lnat_plugins.cli._output import Commands, write_out
from lnat_plugins.cli._plugins import add_plugins, read_plugins
from lnat_plugins.cli._scored import names, tell_files, tell_unloaded


def add(commands: Commands) -> None:
    """Declare the arguments."""
    parser = commands.add_parser(
        "report",
        help="write an HTML report: plots, tables, and the traces step by step",
        description="Writes one HTML file that needs nothing else: teachers with intervals, plots, "
        "tables, and the responses with every step shaded by its score.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="OUT",
        help="lm_eval's output folder, or samples files, of one task and student",
    )
    parser.add_argument(
        "--output_path",
        type=Path,
        metavar="FILE.html",
        help="default: report.html in OUT, or beside the samples file",
    )
    parser.add_argument(
        "--metric",
        default="local_naturalness",
        help="the one that the order goes by, all are compared; default: %(default)s",
    )
    parser.add_argument("--window", help="a scored window; default: the first of the settings")
    parser.add_argument(
        "--teachers", metavar="A,B", help="compare only these teachers; default: all"
    )
    parser.add_argument(
        "--reference",
        metavar="FILE|A>B=C",
        help="a known order: a JSON or YAML file of teacher: accuracy, or the order itself",
    )
    parser.add_argument(
        "--prompts", type=int, metavar="N",
        help="prompts whose traces are shown, from the first; default: 20",
    )  # fmt: skip
    parser.add_argument("--bootstrap_iters", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1234, help="default: %(default)s")
    add_plugins(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the file and say where."""
    from lnat_plugins.metrics import ALL
    from lnat_plugins.ranking import read_reference
    from lnat_plugins.report import PROMPTS, leading_metric, report, source_of_scores
    from lnat_plugins.store import read_scored_set

    metrics = read_plugins(args).registry.metrics
    scored = read_scored_set(args.sources)
    tell_unloaded([args.metric, ALL], metrics, [scored])
    metric = leading_metric(args.metric, metrics)
    tell_files(scored)
    source = source_of_scores(scored, names(args.teachers, "--teachers"))
    compared = tuple(dict.fromkeys(row.teacher for row in source.rows))
    reference = None
    if args.reference is not None:
        reference = read_reference(args.reference, compared, known=scored.teachers)
    page = report(
        source,
        metric,
        args.window,
        metrics=metrics,
        reference=reference,
        prompts=PROMPTS if args.prompts is None else args.prompts,
        bootstrap_iters=args.bootstrap_iters,
        seed=args.seed,
    )
    write_out(args.output_path or _beside(Path(args.sources[0])), page)
    return 0


def _beside(source: Path) -> Path:
    return (source if source.is_dir() else source.parent) / "report.html"
