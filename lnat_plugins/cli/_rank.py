"""`lnat rank`: teachers in order, from what lm-eval wrote. Computes nothing itself."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnat_plugins import __version__
from lnat_plugins.cli._output import Commands, say, write_out
from lnat_plugins.cli._plugins import add_plugins, read_plugins
from lnat_plugins.cli._scored import names, tell_files
from lnat_plugins.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from lnat_plugins.metrics import Metric
    from lnat_plugins.ranking import Ranking
    from lnat_plugins.store import ScoredSet


def add(commands: Commands) -> None:
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
    parser.add_argument("--metric", default="local_naturalness", help="default: %(default)s")
    parser.add_argument("--window", help="a scored window; default: the first of the settings")
    parser.add_argument(
        "--teachers", metavar="A,B", help="compare only these teachers; default: all"
    )
    parser.add_argument("--bootstrap_iters", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1234, help="default: %(default)s")
    parser.add_argument(
        "--output_path", type=Path, metavar="DIR", help="write ranking.json and ranking.md there"
    )
    add_plugins(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one table per task, and write them if asked to."""
    from lnat_plugins.metrics import get_metric
    from lnat_plugins.ranking import to_markdown
    from lnat_plugins.store import read_scores

    metric = get_metric(args.metric, read_plugins(args).registry.metrics)
    scored_sets = read_scores(args.sources)
    texts: list[str] = []
    documents: list[dict[str, Any]] = []
    for scored in scored_sets:
        tell_files(scored)
        ranking = _rank(scored, metric, args)
        texts.append(to_markdown(ranking, _title(scored, ranking)))
        documents.append(_document(scored, ranking))
    text = "\n".join(texts)
    say(text)
    if args.output_path:
        document = {"lnat_plugins": __version__, "rankings": documents}
        plain = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        write_out(args.output_path / "ranking.json", plain + "\n")
        write_out(args.output_path / "ranking.md", text)
    return 0


def _rank(scored: ScoredSet, metric: Metric, args: argparse.Namespace) -> Ranking:
    from lnat_plugins.ranking import rank

    window = scored.windows[0] if args.window is None else args.window
    if window not in scored.windows:
        raise ConfigError(
            f"window {window!r} was not scored",
            where=f"task {scored.task}",
            remedy=did_you_mean(window, scored.windows),
        )
    teachers = names(args.teachers) or scored.teachers
    for teacher in teachers:
        if teacher not in scored.teachers:
            raise ConfigError(
                f"unknown teacher {teacher!r}",
                where=f"task {scored.task}",
                remedy=did_you_mean(teacher, scored.teachers),
            )
    rows = [row for row in scored.rows if row.teacher in teachers]
    return rank(
        rows,
        scored.prompts,
        metric,
        window,
        bootstrap_iters=args.bootstrap_iters,
        seed=args.seed,
    )


def _title(scored: ScoredSet, ranking: Ranking) -> list[str]:
    direction = "higher" if ranking.higher_is_better else "lower"
    return [
        f"task: {scored.task}, student: {scored.student}, prompts: {ranking.prompts_used} of "
        f"{ranking.prompts}, responses: {ranking.responses}",
        f"steps: {scored.settings.get('steps')} ({scored.splitter}), windows: "
        f"{','.join(scored.windows)}, engine: {','.join(scored.paths)}, "
        f"settings: {scored.settings_hash}",
        f"metric: {ranking.metric} ({ranking.unit}, {direction} is better), bootstrap_iters: "
        f"{ranking.bootstrap_iters}, seed: {ranking.seed}",
    ]


def _document(scored: ScoredSet, ranking: Ranking) -> dict[str, Any]:
    return {
        "task": scored.task,
        "student": scored.student,
        "settings": dict(scored.settings),
        "settings_hash": scored.settings_hash,
        "splitter": scored.splitter,
        "engine": list(scored.paths),
        "files": list(scored.files),
        "left_aside": list(scored.left_aside),
        "duplicates": scored.duplicates,
        "ranking": ranking.as_dict(),
    }
