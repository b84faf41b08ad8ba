"""`lnat rank` and `lnat report`: teachers in order, as text and as an HTML page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lnat_plugins import __version__
from lnat_plugins.cli.shared import (
    add_ranking,
    log,
    log_files,
    print_result,
    read_plugins,
    split_names,
    warn_unloaded,
    write_output,
)

_SAMPLES = "lm_eval's output folder (the newest samples of each task), or samples files"


def declare_rank(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `lnat rank`."""
    parser.description = "Ranks teachers, with intervals over prompts, controls and warnings."
    add = parser.add_argument
    add("sources", nargs="+", metavar="OUT", help=_SAMPLES)
    add(
        "--metric",
        default="local_naturalness",
        metavar="NAME|A,B|all",
        help="several are compared, and the first is ranked by; all: those that the records "
        "hold and that have a direction; default: %(default)s",
    )
    add_ranking(parser)
    add("--output_path", type=Path, metavar="DIR", help="write ranking.json and ranking.md there")
    parser.set_defaults(run=run_rank)


def run_rank(args: argparse.Namespace) -> int:
    """Print the tables of each task and student, and write them if requested."""
    from lnat_plugins.api import read_all_scores
    from lnat_plugins.metrics import ALL, metrics_to_compare

    plugins = read_plugins(args)
    everything = read_all_scores(*args.sources, plugins=plugins)
    metrics = split_names(args.metric, "--metric") or []
    for scores in everything:
        scores.check_metrics(metrics, "--metric")
        if ALL in metrics:
            warn_unloaded(scores)
    metrics_to_compare(metrics, plugins.registry.metrics, "--metric")
    known_teachers = {teacher for scores in everything for teacher in scores.teachers}
    boards = []
    for scores in everything:
        log_files(scores)
        compared = scores.only(split_names(args.teachers, "--teachers"))
        boards.append(
            compared.leaderboard(
                metrics, args.window, reference=args.reference, known_teachers=known_teachers,
                bootstrap_iters=args.bootstrap_iters, seed=args.seed,
            )
        )  # fmt: skip
    text = "\n".join(board.to_markdown() for board in boards)
    print_result(text)
    if args.output_path:
        document = {
            "lnat_plugins": __version__,
            "rankings": [board.as_dict() for board in boards],
        }
        as_json = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        write_output(args.output_path / "ranking.json", as_json + "\n")
        write_output(args.output_path / "ranking.md", text)
    return 0


def declare_report(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `lnat report`."""
    parser.description = (
        "Writes one HTML file that needs nothing else: teachers with intervals, plots, tables, and "
        "the responses with every step shaded by its score."
    )
    add = parser.add_argument
    add("sources", nargs="+", metavar="OUT", help=f"{_SAMPLES}, of one task and student")
    add(
        "--output_path",
        type=Path,
        metavar="FILE.html",
        help="default: report.html in OUT, or beside the samples file",
    )
    add(
        "--metric",
        default="local_naturalness",
        help="the one to rank by, all are compared; default: %(default)s",
    )
    add_ranking(parser)
    add(
        "--prompts", type=int, metavar="N",
        help="prompts whose traces are shown, from the first; default: 20",
    )  # fmt: skip
    parser.set_defaults(run=run_report)


def run_report(args: argparse.Namespace) -> int:
    """Write the page and log where."""
    from lnat_plugins.api import read_scores
    from lnat_plugins.report import leading_metric

    plugins = read_plugins(args)
    scores = read_scores(*args.sources, plugins=plugins)
    scores.check_metrics([args.metric], "--metric")
    warn_unloaded(scores)
    leading_metric(args.metric, plugins.registry.metrics)
    log_files(scores)
    compared = scores.only(split_names(args.teachers, "--teachers"))
    source = Path(args.sources[0])
    beside = (source if source.is_dir() else source.parent) / "report.html"
    path = args.output_path or beside
    compared.report(
        path, args.metric, args.window, reference=args.reference, known_teachers=scores.teachers,
        prompts=args.prompts, bootstrap_iters=args.bootstrap_iters, seed=args.seed,
    )  # fmt: skip
    log(f"wrote {path}")
    return 0
