"""`lnat rank` and `lnat report`: teachers in order, as text and as an HTML page."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lnat_plugins import __version__
from lnat_plugins.cli.shared import (
    add_overwrite,
    add_plugins,
    command,
    keep_to_the_end,
    log,
    log_files,
    print_result,
    read_contrasted,
    read_plugins,
    split_names,
    warn_unloaded,
)
from lnat_plugins.errors import ConfigError
from lnat_plugins.files import irregular
from lnat_plugins.outputs import check_file, is_stream, marked, write_together

if TYPE_CHECKING:
    from lnat_plugins.ranking import Leaderboard, PrefixAgreement
    from lnat_plugins.scores import Scores

_DEFAULT: Final = "local_naturalness"
_FILES: Final = ("ranking.json", "ranking.md")
_IS_OURS: Final = marked(rb'^\{\s*"lnat_plugins":|^<!-- lnat-plugins ')
_SAMPLES: Final = "lm_eval's output folder (the newest samples of each task), or samples files"


def _add_shared(parser: argparse.ArgumentParser) -> None:
    """What both commands take alike."""
    add = parser.add_argument
    add("--window", help="a scored window; default: the first of the settings")
    add(
        "--teachers",
        metavar="A,B",
        help="compare only these teachers; default: all; a comma of a name is written \\,",
    )
    add(
        "--reference", metavar='FILE|"A>B=C"',
        help="what is known of the teachers: a JSON or YAML file of teacher: accuracy, or an order",
    )  # fmt: skip
    add("--bootstrap_iters", type=int, default=10_000, help="default: %(default)s")
    add("--seed", type=int, default=1234, help="default: %(default)s")
    add_plugins(parser)


def declare_rank(parser: argparse.ArgumentParser) -> None:
    """`lnat rank`: the tables of each task and student, written too if requested."""
    parser.description = "Ranks teachers, with intervals over prompts, controls and warnings."
    add = parser.add_argument
    add("sources", nargs="+", metavar="OUT", help=_SAMPLES)
    add(
        "--metric", default=_DEFAULT, metavar="NAME|A,B|all",
        help="several are compared, and the first is ranked by; all: those that the records "
        "hold and that have a direction; contrast: of two OUTs, the first student's against the "
        "second's; default: %(default)s",
    )  # fmt: skip
    _add_shared(parser)
    add(
        "--brief", action="store_true", help="the verdict, the teachers, and the fit to --reference"
    )
    add(
        "--output_path",
        type=Path,
        metavar="DIR",
        help="write ranking.json and ranking.md there; a verdict there on fewer prompts widens the "
        "bounds of this one",
    )
    add_overwrite(add)
    parser.set_defaults(run=_rank)


def _rank(args: argparse.Namespace) -> int:
    from lnat_plugins.api import read_all_scores
    from lnat_plugins.metrics import ALL, metrics_to_compare
    from lnat_plugins.metrics.contrast import CONTRAST
    from lnat_plugins.ranking.students import compare_students

    _check_files(args)
    plugins = read_plugins(args)
    metrics = split_names(args.metric, "--metric") or []
    everything: Sequence[Scores]
    if CONTRAST.name in metrics:
        everything = [read_contrasted(args.sources, plugins)]
    else:
        everything = read_all_scores(*args.sources, plugins=plugins)
    keep_to_the_end(everything)
    if any("budget" in scores.scored.settings for scores in everything):
        return _race(args, everything)
    for scores in everything:
        scores.check_metrics(metrics, "--metric")
        if ALL in metrics:
            warn_unloaded(scores)
    metrics_to_compare(metrics, plugins.registry.metrics, "--metric")
    known_teachers = {teacher for scores in everything for teacher in scores.teachers}
    boards = []
    earlier = _earlier_looks(args.output_path)
    for scores in everything:
        log_files(scores)
        chosen = _grown(scores, earlier, metrics[0]).only(split_names(args.teachers, "--teachers"))
        boards.append(
            chosen.leaderboard(
                metrics, args.window, reference=args.reference, known_teachers=known_teachers,
                bootstrap_iters=args.bootstrap_iters, seed=args.seed,
            )
        )  # fmt: skip
    # Those of one part of the responses are of different students.
    groups: dict[tuple[str, str], list[Leaderboard]] = {}
    for board in boards:
        groups.setdefault((board.scored.task, board.scored.prefix), []).append(board)
    compared = [
        compare_students(
            task,
            [one.scored.student for one in of],
            [one.ranking for one in of],
            [one.scored.steps for one in of],
        )
        for (task, _), of in groups.items()
        if len(of) > 1
    ]
    several = len({task for task, _ in groups}) > 1  # then each text says which task it is of
    prefixes = _of_prefixes(everything, boards, args)
    beside = [f"task: {one.task}\n" * several + one.in_words() + "\n" for one in prefixes]
    beside += [f"task: {one.task}\n" * several + one.to_markdown() for one in compared]
    texts = [
        f"task: {board.scored.task}\n" * (several and args.brief)
        + board.to_markdown(brief=args.brief)
        for board in boards
        if not args.brief or len(groups[board.scored.task, board.scored.prefix]) == 1
    ]
    print_result("\n".join([*beside, *texts]))
    if args.output_path:
        document: dict[str, Any] = {"rankings": [board.as_dict() for board in boards]}
        if prefixes:
            document["prefixes"] = [one.as_dict() for one in prefixes]
        if compared:
            document["students"] = [one.as_dict() for one in compared]
        text = "\n".join([*beside, *(board.to_markdown() for board in boards)])
        _write(args.output_path, document, text)
    # Of several tasks, or parts of the responses, the first.
    first = next(iter(groups.values()))
    places = args.sources
    if len(groups) > 1:
        places = [file for one in first for file in one.scored.files]
    metric = None if ALL in metrics else metrics[0]
    log(f"next: {command('report', places, _options(args, metric, reference=args.reference))}")
    if len(boards) == 1:
        log(f"then: {_select(args, metric, everything[0], everything)}")
    return 0


def _of_prefixes(
    everything: Sequence[Scores], boards: Sequence[Leaderboard], args: argparse.Namespace
) -> list[PrefixAgreement]:
    """Each student's order by a prefix against its order by whole responses, where both are."""
    whole = {(one.scored.task, one.scored.student): one for one in everything
             if not one.scored.prefix}  # fmt: skip
    teachers = split_names(args.teachers, "--teachers")
    return [
        scores.only(teachers).prefix_agreement(
            whole[key].only(teachers), board.ranking.metric, args.window,
            bootstrap_iters=args.bootstrap_iters, seed=args.seed,
        )
        for scores, board in zip(everything, boards, strict=True)
        if (key := (scores.scored.task, scores.scored.student)) in whole and scores.scored.prefix
    ]  # fmt: skip


def _earlier_looks(folder: Path | None) -> dict[tuple[str, ...], int]:
    """Task, student, settings and metric -> prompts of the first verdict in the folder's
    `ranking.json`; nothing where there is none that can be read."""
    found: dict[tuple[str, ...], int] = {}
    path = folder / _FILES[0] if folder else None
    with suppress(OSError, ValueError, KeyError, TypeError):
        text = path.read_text(encoding="utf-8") if path and not irregular(path) else "{}"
        for one in json.loads(text).get("rankings", ()):
            ranking = one["ranking"]
            key = (one["task"], one["student"], one["settings_hash"], ranking["metric"])
            found[key] = int(ranking["grown_from"] or ranking["prompts_used"])
    return found


def _grown(scores: Scores, earlier: Mapping[tuple[str, ...], int], metric: str) -> Scores:
    """The scores, with the number of prompts of an earlier look at fewer of them."""
    scored = scores.scored
    before = earlier.get((scored.task, scored.student, scored.settings_hash, metric), 0)
    looks = [n for n in (before, scored.grown_from) if 0 < n < len(scored.prompts)]
    return replace(scores, scored=replace(scored, grown_from=min(looks, default=0)))


def _race(args: argparse.Namespace, everything: Sequence[Scores]) -> int:
    """What runs with a budget settled; scores without one are refused beside them."""
    asked = {"--metric": args.metric != _DEFAULT, "--window": args.window,
             "--teachers": args.teachers, "--reference": args.reference}  # fmt: skip
    for option, given in asked.items():
        if given:
            raise ConfigError(
                "scores of a run with a budget say what it settled, and no more", where=option,
                remedy=f"leave out {option}, or score without `budget:`",
            )  # fmt: skip
    found = [scores.race() for scores in everything]
    for scores in everything:
        log_files(scores)
    texts = [one.to_markdown(brief=args.brief) for one in found]
    print_result("\n".join(texts))
    if args.output_path:
        document = {"rankings": [one.as_dict() for one in found]}
        _write(args.output_path, document, "\n".join(texts))
    return 0


def _check_files(args: argparse.Namespace) -> None:
    """Refuse to replace what is no ranking, before anything is read."""
    for name in _FILES if args.output_path else ():
        check_file(
            args.output_path / name, _IS_OURS, overwrite=args.overwrite, option="--output_path"
        )


def _write(folder: Path, document: Mapping[str, Any], text: str) -> None:
    """Write both files."""
    document = {"lnat_plugins": __version__, **document}
    as_json = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    text = f"<!-- lnat-plugins {__version__} -->\n{text}"
    files = [folder / name for name in _FILES]
    write_together(dict(zip(files, (as_json, text), strict=True)), "--output_path")
    for file in files:
        log(f"wrote {file}")


def _options(args: argparse.Namespace, metric: str | None, **more: object) -> dict[str, object]:
    """What the next command is to be given as this one was."""
    chosen = None if metric == _DEFAULT else metric
    return {"metric": chosen, "window": args.window, "teachers": args.teachers,
            "plugins": args.plugins, **more}  # fmt: skip


def _select(
    args: argparse.Namespace, metric: str | None, scores: Scores, everything: Sequence[Scores]
) -> str:
    """Of these scores alone; with `--require_correct` where rows are known to be wrong."""
    wrong = any(row.correct is False for row in scores.rows)
    chosen = _options(args, metric, require_correct=wrong, output_path="chosen")
    return command("select", _sources_of(scores, everything, args.sources), chosen)


def declare_report(parser: argparse.ArgumentParser) -> None:
    """`lnat report`: writes the page, and logs where."""
    parser.description = (
        "Writes one HTML file that needs nothing else: teachers with intervals, plots, tables, and "
        "the responses with every step shaded by its score. Or the first plot as a picture."
    )
    add = parser.add_argument
    add("sources", nargs="+", metavar="OUT", help=f"{_SAMPLES}, of one task")
    add(
        "--output_path", type=Path, metavar="FILE",
        help="default: report.html (.png, .svg) in OUT, or beside the samples file",
    )  # fmt: skip
    add_overwrite(add)
    add(
        "--metric", default=_DEFAULT,
        help="the one to rank by, all are compared; default: %(default)s",
    )  # fmt: skip
    _add_shared(parser)
    add(
        "--format", choices=("html", "png", "svg"),
        help="png, svg: a picture of the differences to the leader; default: as --output_path "
        "ends, else html",
    )  # fmt: skip
    add(
        "--prompts", type=int, metavar="N",
        help="prompts whose traces are in the page at most, the most informative first; default: "
        "as many as fit",
    )  # fmt: skip
    add(
        "--max_size", type=float, metavar="MB", default=10.0,
        help="megabytes that the page may have; default: %(default)g",
    )  # fmt: skip
    parser.set_defaults(run=_report)


def _report(args: argparse.Namespace) -> int:
    from lnat_plugins.api import read_all_scores
    from lnat_plugins.metrics.contrast import CONTRAST
    from lnat_plugins.report import check_report, format_of, leading_metric
    from lnat_plugins.scoring.samples import several

    format = format_of(args.output_path, args.format)
    source = Path(args.sources[0])
    path = args.output_path or (source if source.is_dir() else source.parent) / f"report.{format}"
    if args.output_path or source.exists():
        check_report(path, args.overwrite)
    plugins = read_plugins(args)
    if args.metric == CONTRAST.name:
        everything = [read_contrasted(args.sources, plugins)]
    else:
        everything = _as_named(read_all_scores(*args.sources, plugins=plugins), args.sources)
    keep_to_the_end(everything)
    if len({(scores.scored.task, scores.scored.prefix) for scores in everything}) > 1:
        raise several([one.scored for one in everything])
    teachers = split_names(args.teachers, "--teachers")
    for one in everything:
        one.check_metrics([args.metric], "--metric")
        warn_unloaded(one)
    leading_metric(args.metric, plugins.registry.metrics)
    for one in everything:
        log_files(one)
    scores = everything[0]
    compared, *others = (one.only(teachers) for one in everything)
    compared.report(
        path, args.metric, args.window, reference=args.reference, known_teachers=scores.teachers,
        prompts=args.prompts, max_size=args.max_size, others=others, format=format,
        next_command=_select(args, args.metric, scores, everything),
        bootstrap_iters=args.bootstrap_iters, seed=args.seed, overwrite=args.overwrite,
    )  # fmt: skip
    log(f"wrote {path}" + ("" if is_stream(path) else f": open {path.resolve().as_uri()}"))
    log(f"next: {_select(args, args.metric, scores, everything)}")
    return 0


def _as_named(everything: Sequence[Scores], sources: Sequence[str]) -> list[Scores]:
    """In the order in which their sources were named; those of one source as they were read."""

    def place(one: Scores) -> int:
        return next((i for i, source in enumerate(sources) if _holds(source, one)), len(sources))

    return sorted(everything, key=place)


def _holds(source: str, scores: Scores) -> bool:
    """Whether a file of the scores is the source, or lies in it."""
    return any(Path(file).is_relative_to(source) for file in scores.scored.files)


def _sources_of(scores: Scores, everything: Sequence[Scores], sources: Sequence[str]) -> list[str]:
    """What to name to read these scores alone: sources that hold no others, else the files."""
    own = [source for source in sources if _holds(source, scores)]
    if any(_holds(source, one) for source in own for one in everything if one is not scores):
        return [*scores.scored.files]
    return own
