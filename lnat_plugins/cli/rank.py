"""`lnat rank`: teachers in order, from what lm-eval wrote. Computes nothing itself.

`lnat report`: one HTML file to look at, from what lm-eval wrote. Computes nothing itself.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lnat_plugins import __version__
from lnat_plugins.cli.info import add_plugins, read_plugins
from lnat_plugins.cli.shared import Commands, names, say, tell_files, tell_unloaded, write_out
from lnat_plugins.errors import DataError

if TYPE_CHECKING:
    from lnat_plugins.metrics import Metric
    from lnat_plugins.ranking import Comparison, Ranking, Reference
    from lnat_plugins.scoring.record import ScoredResponse
    from lnat_plugins.scoring.samples import ScoredSet


def add_rank_command(commands: Commands) -> None:
    """Declare the arguments."""
    parser = commands.add_parser(
        "rank",
        help="rank teachers by the scores that lm_eval --log_samples wrote",
        description="Ranks teachers, with intervals over prompts, controls and warnings.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="OUT",
        help="lm_eval's output folder (the newest samples of each task), or samples files",
    )
    parser.add_argument(
        "--metric",
        default="local_naturalness",
        metavar="NAME|A,B|all",
        help="several are compared, and the first is told in full; all: those that the records "
        "hold, and that have a better and a worse; default: %(default)s",
    )
    parser.add_argument("--window", help="a scored window; default: the first of the settings")
    parser.add_argument(
        "--teachers", metavar="A,B", help="compare only these teachers; default: all"
    )
    parser.add_argument(
        "--reference",
        metavar='FILE|"A>B=C"',
        help="what is known of the teachers: a JSON or YAML file of teacher: accuracy, or an order",
    )
    parser.add_argument("--bootstrap_iters", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1234, help="default: %(default)s")
    parser.add_argument(
        "--output_path", type=Path, metavar="DIR", help="write ranking.json and ranking.md there"
    )
    add_plugins(parser)
    parser.set_defaults(run=run_rank_command)


def run_rank_command(args: argparse.Namespace) -> int:
    """Print the tables of each task, and write them if asked to."""
    from lnat_plugins.metrics import ALL, metrics_to_compare
    from lnat_plugins.ranking import to_markdown
    from lnat_plugins.scoring.samples import read_scored_sets

    known = read_plugins(args).registry.metrics
    scored_sets = read_scored_sets(args.sources)
    asked_for = names(args.metric, "--metric") or []
    tell_unloaded(asked_for, known, scored_sets)
    metrics = metrics_to_compare(asked_for, known, "--metric")
    everybody = {teacher for scored in scored_sets for teacher in scored.teachers}
    texts: list[str] = []
    documents: list[dict[str, Any]] = []
    for scored in scored_sets:
        tell_files(scored)
        asked = _asked(scored, args, everybody)
        comparison = _compare(asked, metrics, known, args)
        first = metrics[0]
        if comparison and args.metric == ALL:
            first = known[comparison.metrics[0].metric]
        ranking = _rank(asked, first, known, args)
        text = to_markdown(ranking, _title(scored, ranking))
        texts.append(_compared(comparison, scored, text) if comparison else text)
        documents.append(_document(scored, ranking, comparison))
    text = "\n".join(texts)
    say(text)
    if args.output_path:
        document = {"lnat_plugins": __version__, "rankings": documents}
        plain = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        write_out(args.output_path / "ranking.json", plain + "\n")
        write_out(args.output_path / "ranking.md", text)
    return 0


class _Asked(NamedTuple):
    """One task's rows, of the teachers to compare."""

    scored: ScoredSet
    rows: Sequence[ScoredResponse]
    window: str
    reference: Reference | None


def _asked(scored: ScoredSet, args: argparse.Namespace, everybody: set[str]) -> _Asked:
    from lnat_plugins.ranking import read_reference

    window = scored.window(args.window)
    rows = scored.only(names(args.teachers, "--teachers")).rows
    reference = None
    if args.reference is not None:
        compared = tuple(dict.fromkeys(row.teacher for row in rows))
        reference = read_reference(args.reference, compared, everybody)
    return _Asked(scored, rows, window, reference)


def _compare(
    asked: _Asked,
    metrics: Sequence[Metric],
    known: Mapping[str, Metric],
    args: argparse.Namespace,
) -> Comparison | None:
    """None where one metric is asked for; what is asked for by name must be there."""
    from lnat_plugins.metrics import ALL
    from lnat_plugins.ranking import compare
    from lnat_plugins.ranking.table import check_metric

    if args.metric != ALL:
        for metric in metrics:
            check_metric(metric, known, asked.rows, asked.window)
        if len(metrics) == 1:
            return None
    found = compare(
        asked.rows,
        asked.scored.prompts,
        metrics,
        asked.window,
        bootstrap_iters=args.bootstrap_iters,
        seed=args.seed,
        reference=asked.reference,
    )
    if args.metric != ALL and found.left_out:
        name, why = next(iter(found.left_out.items()))
        raise DataError(
            f"metric {name!r} cannot be compared: {why}",
            where=f"task {asked.scored.task}",
            remedy="name the others alone, or `all` for those that can be",
        )
    return found


def _rank(
    asked: _Asked, metric: Metric, known: Mapping[str, Metric], args: argparse.Namespace
) -> Ranking:
    from lnat_plugins.ranking import rank

    return rank(
        asked.rows,
        asked.scored.prompts,
        metric,
        asked.window,
        bootstrap_iters=args.bootstrap_iters,
        seed=args.seed,
        reference=asked.reference,
        metrics=known,
        texts=[row.text for row in asked.rows],
        student=asked.scored.student,
    )


def _compared(comparison: Comparison, scored: ScoredSet, text: str) -> str:
    from lnat_plugins.ranking import comparison_to_markdown

    title = [f"task: {scored.task}, student: {scored.student}, metrics compared:"]
    return comparison_to_markdown(comparison, title) + "\n" + text


def _title(scored: ScoredSet, ranking: Ranking) -> list[str]:
    direction = "higher" if ranking.higher_is_better else "lower"
    return [
        f"task: {scored.task}, student: {scored.student}, prompts: {ranking.prompts_used} of "
        f"{ranking.prompts}, responses: {ranking.responses}",
        f"steps: {scored.settings.get('steps')} ({scored.splitter}), windows: "
        f"{','.join(scored.windows)}, engine: {','.join(scored.paths)}, "
        f"settings: {scored.settings_hash}",
        *_rendering(scored.settings),
        f"metric: {ranking.metric} ({ranking.unit}, {direction} is better), bootstrap_iters: "
        f"{ranking.bootstrap_iters}, seed: {ranking.seed}",
    ]


def _rendering(settings: Mapping[str, Any]) -> list[str]:
    """How the student was shown the prompts; nothing where the settings do not say."""
    if "chat_template" not in settings:
        return []
    template = settings["chat_template"]
    text = f"chat template (digest {template})" if template else "plain text"
    system = settings.get("system_instruction")
    return [f"rendering: {text}" + (", with a system instruction" if system else "")]


def _document(scored: ScoredSet, ranking: Ranking, comparison: Comparison | None) -> dict[str, Any]:
    compared = {} if comparison is None else {"comparison": comparison.as_dict()}
    return {
        "task": scored.task,
        "student": scored.student,
        "settings": dict(scored.settings),
        "settings_hash": scored.settings_hash,
        "splitter": scored.splitter,
        "engine": list(scored.paths),
        "files": list(scored.files),
        "left_aside": list(scored.skipped),
        "duplicates": scored.duplicates,
        **compared,
        "ranking": ranking.as_dict(),
    }


def add_report_command(commands: Commands) -> None:
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
    parser.set_defaults(run=run_report_command)


def run_report_command(args: argparse.Namespace) -> int:
    """Write the file and say where."""
    from lnat_plugins.metrics import ALL
    from lnat_plugins.ranking import read_reference
    from lnat_plugins.report import PROMPTS, leading_metric, report
    from lnat_plugins.scoring.samples import read_scored_set

    metrics = read_plugins(args).registry.metrics
    scored = read_scored_set(args.sources)
    tell_unloaded([args.metric, ALL], metrics, [scored])
    metric = leading_metric(args.metric, metrics)
    tell_files(scored)
    compared = scored.only(names(args.teachers, "--teachers"))
    reference = None
    if args.reference is not None:
        reference = read_reference(args.reference, compared.teachers, known=scored.teachers)
    page = report(
        compared,
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
