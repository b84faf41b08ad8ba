"""`lnat select`: rows to train on, from what lm-eval scored or as a training config says.

Computes nothing itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lnat_plugins.cli import _select_arguments as arguments
from lnat_plugins.cli._output import Commands, remark, say
from lnat_plugins.cli._scored import names, tell_files
from lnat_plugins.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from lnat_plugins.choosing import Chooser
    from lnat_plugins.selection import Pool, Selection
    from lnat_plugins.store import ScoredSet
    from lnat_plugins.training_set import Origin


class Chosen(NamedTuple):
    """What either way of choosing gives.

    training and kept: see `training_set.write_training_set`.
    """

    pool: Pool
    selection: Selection
    chooser: Chooser
    origin: Origin
    training: Mapping[str, Any]
    kept: tuple[str, ...]


def add(commands: Commands) -> None:
    """Declare the arguments."""
    parser = commands.add_parser(
        "select",
        help="choose the rows to train on",
        description="Chooses rows to train on and writes them as a training set, with the reason "
        "for every row left out: by the scores that lm_eval --log_samples wrote (OUT), or scored "
        "here and now as a training config says (--config). Without --output_path it only prints "
        "what it would choose.",
        allow_abbrev=False,
    )
    arguments.declare(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Choose, write if asked to, and print who is chosen and why others are not."""
    from lnat_plugins.training_set import check_folder, check_repo_id, counts, push_to_hub

    arguments.check(args)
    if args.output_path:
        check_folder(args.output_path)
    if args.push_to_hub:
        check_repo_id(args.push_to_hub)
    chosen = _by_config(args) if args.config else _by_scores(args)
    written = _write(args, chosen)
    say("\n".join(_title(chosen)) + "\n\n" + counts(chosen.selection))
    for file in written:
        remark(f"wrote {file}")
    if not written:
        remark("nothing is written: give --output_path a folder for the training set")
    if args.push_to_hub:
        address = push_to_hub(args.output_path, args.push_to_hub, private=not args.public_repo)
        remark(f"uploaded {address}")
    return 0


def _by_scores(args: argparse.Namespace) -> Chosen:
    from lnat_plugins.choosing import read_block
    from lnat_plugins.store import read_scored_set
    from lnat_plugins.training_set import ScoredStudent, origin_of_scores, pool_of_scores

    scored = read_scored_set(args.sources)
    tell_files(scored)
    _check_window(args.window, scored)
    block = arguments.block_of(args, scored.windows)
    chooser = read_block(block, source=arguments.SOURCE)
    pool, records = pool_of_scores(scored, names(args.teachers, "--teachers"))
    student = ScoredStudent(scored.student, records, pool.plain, args.tokenizer)
    selection = chooser.choose(pool, student)
    return Chosen(pool, selection, chooser, origin_of_scores(scored), {}, ())


def _by_config(args: argparse.Namespace) -> Chosen:
    from lnat_plugins.training.run_config import read_run_config
    from lnat_plugins.training.two_stages import SHARDING, first_stage

    run = read_run_config(["--config", str(args.config)], leave_out=SHARDING)
    found = first_stage(run)
    return Chosen(
        found.pool, found.selection, run.chooser, found.origin, found.training, found.kept
    )


def _check_window(window: str | None, scored: ScoredSet) -> None:
    if window is not None and window not in scored.windows:
        raise ConfigError(
            f"window {window!r} was not scored",
            where=f"task {scored.task}",
            remedy=did_you_mean(window, scored.windows),
        )


def _write(args: argparse.Namespace, chosen: Chosen) -> tuple[Path, ...]:
    from lnat_plugins.training_set import write_training_set

    if not args.output_path:
        return ()
    return write_training_set(
        args.output_path,
        chosen.pool,
        chosen.selection,
        form=args.format or "prompt_completion",
        origin=chosen.origin,
        llama_factory=args.llama_factory,
        training=chosen.training,
        kept=chosen.kept,
    )


def _title(chosen: Chosen) -> list[str]:
    from lnat_plugins.training_set import totals

    selection, scoring = chosen.selection, chosen.origin.scoring
    by = f"strategy: {selection.strategy}"
    if selection.metric:
        direction = "higher" if selection.higher_is_better else "lower"
        unit = chosen.chooser.plugins.registry.metrics[selection.metric].unit
        by += f", metric: {selection.metric} ({unit}, {direction} is better)"
    if selection.window:
        by += f", window: {selection.window}"
    lines = [
        f"task: {chosen.origin.task}, student: {selection.student}, {totals(selection)}",
        by,
    ]
    if scoring:
        lines.append(
            f"steps: {scoring['settings'].get('steps')} ({scoring['splitter']}), engine: "
            f"{','.join(scoring['engine'])}, settings: {scoring['settings_hash']}"
        )
    return lines
