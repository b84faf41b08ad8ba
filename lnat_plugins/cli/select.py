"""The arguments of `lnat select`, and the `selection:` block that they stand for.

Knows nothing of rows. A strategy checks its own options; here they are only read as YAML. What is
not given stays None, so that it can be told from what is given as the default.

`lnat select`: rows to train on, from what lm-eval scored or as a training config says.

Computes nothing itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lnat_plugins.cli.info import add_plugins
from lnat_plugins.cli.shared import Commands, names, remark, say, tell_files
from lnat_plugins.errors import ConfigError

if TYPE_CHECKING:
    from lnat_plugins.plugins.configured import Chooser
    from lnat_plugins.selection import Candidates, Selection
    from lnat_plugins.selection.cards import Provenance

SOURCE: Final = "lnat select"

_BESIDE_CONFIG: Final = frozenset(
    "sources config format llama_factory output_path push_to_hub public_repo run".split()
)

# What does nothing without something else -> that, and what to do.
_NEEDS: Final = {
    "push_to_hub": ("output_path", "name the folder that the training set is written to"),
    "llama_factory": ("output_path", "name the folder that the training set is written to"),
    "format": ("output_path", "name the folder that the training set is written to"),
    "public_repo": ("push_to_hub", "name the repository that is to be public"),
    "tokenizer": ("max_length", "it only counts for that filter: give it, or leave this out"),
}

# Options of the shipped strategies; those of others come by --option.
OPTIONS: Final = {
    "k": "how many rows are chosen",
    "fraction": "share of the rows, above 0 and at most 1",
    "threshold": "the worst score that is chosen, in the metric's unit",
    "budget": "how many rows of a prompt are chosen",
    "quota": "the most rows of a teacher, or '{QwQ: 100, R1: 50}'",
    "teacher_mix": "shares of the chosen rows, '{QwQ: 1, R1: 2}'; or the folder of an earlier "
    "choice, for the shares chosen there",
}


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare all arguments."""
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="OUT",
        help="lm_eval's output folder (the newest samples of the task), or samples files",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a training config, TRL's keys and a `selection:` block: score its rows and choose",
    )
    _choosing(parser.add_argument_group("what is chosen (with OUT; --config says it itself)"))
    _options(parser.add_argument_group("options of the strategy, as YAML values"))
    _writing(parser.add_argument_group("what is written"))
    add_plugins(parser)


def _choosing(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--strategy", help="default: best")
    add("--metric", help="default: local_naturalness")
    add("--window", help="a scored window; default: the one that the metric reads, else the first")
    add("--teachers", metavar="A,B", help="only their rows; default: all")
    add(
        "--require_correct",
        action="store_true",
        default=None,
        help="only rows known to be correct",
    )
    add(
        "--max_length",
        type=int,
        metavar="N",
        help="only rows of at most N tokens as training reads them, prompt and template included",
    )
    add(
        "--min_margin",
        type=float,
        metavar="X",
        help="only prompts whose best row leads the second best by X, in the metric's unit",
    )
    add(
        "--keep_duplicates",
        action="store_true",
        default=None,
        help="keep all of several equal responses to a prompt; default: the first",
    )
    add("--seed", type=int, help="for strategies that draw; default: 1234")
    add(
        "--tokenizer",
        metavar="NAME",
        help="folder or name of the tokenizer that counts for --max_length; default: the student's",
    )


def _options(group: argparse._ArgumentGroup) -> None:
    for name, words in OPTIONS.items():
        group.add_argument(f"--{name}", type=_yaml, metavar="VALUE", help=words)
    group.add_argument(
        "--option",
        type=_pair,
        action="append",
        metavar="NAME=VALUE",
        help="an option of a strategy that a plugin brings; may be given several times",
    )


def _writing(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--output_path",
        type=Path,
        metavar="DIR",
        help="write the training set there; one that stands there is replaced",
    )
    add(
        "--format",
        choices=("prompt_completion", "messages"),
        help="TRL's form of the rows; default: prompt_completion",
    )
    add(
        "--llama_factory",
        action="store_true",
        help="write LLaMA-Factory's dataset_info.json too; the data set is called lnat there",
    )
    add("--push_to_hub", metavar="REPO", help="upload it as a data set, private if it is new")
    add("--public_repo", action="store_true", help="make a new repository public")


def check(args: argparse.Namespace) -> None:
    """Refuse arguments that do not go together.

    Raises:
        ConfigError: says which one is missing, or does nothing.
    """
    if bool(args.sources) == bool(args.config):
        raise ConfigError(
            "scores and a config are both named" if args.config else "no scores are named",
            where=SOURCE,
            remedy="name lm_eval's output folder or samples files, or a training config by "
            "--config FILE",
        )
    if args.config:
        _refuse_choosing(args)
    for name, (needed, remedy) in _NEEDS.items():
        if _is_given(vars(args)[name]) and not _is_given(vars(args)[needed]):
            raise ConfigError(
                f"--{name} does nothing without --{needed}", where=SOURCE, remedy=remedy
            )


def _is_given(value: Any) -> bool:
    return value is not None and value is not False


def _refuse_choosing(args: argparse.Namespace) -> None:
    """What the config's own block says is not said again on the command line."""
    for name, value in vars(args).items():
        if name not in _BESIDE_CONFIG and value is not None:
            raise ConfigError(
                f"--{name} has no effect beside --config",
                where=SOURCE,
                found=value,
                remedy=f"write it in the `selection:` block of {args.config}",
            )


def block_of(args: argparse.Namespace, windows: Sequence[str]) -> dict[str, Any]:
    """The arguments as the `selection:` block of a config would have them.

    Args:
        windows: those that were scored.

    Raises:
        ConfigError: an option is given twice, or is none of a strategy's.
    """
    from lnat_plugins.selection import KEYS

    block = {
        "strategy": "best" if args.strategy is None else args.strategy,
        "metric": args.metric,
        "window": args.window,
        "windows": list(windows),
        "require_correct": args.require_correct,
        "max_length": args.max_length,
        "min_margin": args.min_margin,
        "drop_duplicates": False if args.keep_duplicates else None,
        "seed": args.seed,
        "plugins": names(args.plugins, "--plugins"),
    }
    block = {name: value for name, value in block.items() if value is not None}
    options = [(name, vars(args)[name]) for name in OPTIONS if vars(args)[name] is not None]
    for name, value in (*options, *(args.option or ())):
        if name in block or name in KEYS:
            raise ConfigError(
                f"{name!r} is no option of a strategy, or is given twice",
                where=f"{SOURCE}: --option",
                remedy="give each option once; what is no option has an argument of its own",
            )
        block[name] = _mix(value) if name == "teacher_mix" else value
    return block


def _mix(value: Any) -> Any:
    """A path in place of a mix stands for what was chosen there."""
    from lnat_plugins.selection.training_set import read_selection

    if not isinstance(value, str):
        return value
    chosen = read_selection(value).chosen_by_teacher
    return {teacher: count for teacher, count in chosen.items() if count}


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise argparse.ArgumentTypeError(f"not a YAML value: {text!r}") from None


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"not NAME=VALUE: {text!r}")
    return name.strip(), _yaml(value)


class Chosen(NamedTuple):
    """What either way of choosing gives.

    training and kept: see `training_set.write_training_set`.
    """

    pool: Candidates
    selection: Selection
    chooser: Chooser
    provenance: Provenance
    training: Mapping[str, Any]
    kept: tuple[str, ...]


def add_select_command(commands: Commands) -> None:
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
    declare(parser)
    parser.set_defaults(run=run_select_command)


def run_select_command(args: argparse.Namespace) -> int:
    """Choose, write if asked to, and print who is chosen and why others are not."""
    from lnat_plugins.selection.cards import counts
    from lnat_plugins.selection.training_set import check_folder, check_repo_id, push_to_hub

    check(args)
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
    from lnat_plugins.plugins.configured import read_block
    from lnat_plugins.scoring.samples import read_scored_set
    from lnat_plugins.selection import (
        ScoredStudent,
        candidates_of_scores,
        provenance_of_scores,
    )

    scored = read_scored_set(args.sources)
    tell_files(scored)
    scored.window(args.window)
    block = block_of(args, scored.windows)
    chooser = read_block(block, source=SOURCE)
    compared = scored.only(names(args.teachers, "--teachers"))
    pool = candidates_of_scores(compared)
    records = [row.record for row in compared.rows]
    student = ScoredStudent(scored.student, records, pool.plain, args.tokenizer)
    selection = chooser.choose(pool, student)
    return Chosen(pool, selection, chooser, provenance_of_scores(scored), {}, ())


def _by_config(args: argparse.Namespace) -> Chosen:
    from lnat_plugins.hooks.trl_config import SHARDING, first_stage, read_run_config

    run = read_run_config(["--config", str(args.config)], leave_out=SHARDING)
    found = first_stage(run)
    return Chosen(
        found.pool,
        found.selection,
        run.chooser,
        found.origin,
        found.training,
        found.kept,
    )


def _write(args: argparse.Namespace, chosen: Chosen) -> tuple[Path, ...]:
    from lnat_plugins.selection.training_set import write_training_set

    if not args.output_path:
        return ()
    return write_training_set(
        args.output_path,
        chosen.pool,
        chosen.selection,
        format=args.format or "prompt_completion",
        provenance=chosen.provenance,
        llama_factory=args.llama_factory,
        sft_settings=chosen.training,
        keep_columns=chosen.kept,
    )


def _title(chosen: Chosen) -> list[str]:
    from lnat_plugins.selection.cards import totals

    selection, scoring = chosen.selection, chosen.provenance.scoring
    by = f"strategy: {selection.strategy}"
    if selection.metric:
        direction = "higher" if selection.higher_is_better else "lower"
        unit = chosen.chooser.plugins.registry.metrics[selection.metric].unit
        by += f", metric: {selection.metric} ({unit}, {direction} is better)"
    if selection.window:
        by += f", window: {selection.window}"
    lines = [
        f"task: {chosen.provenance.task}, student: {selection.student}, {totals(selection)}",
        by,
    ]
    if scoring:
        lines.append(
            f"steps: {scoring['settings'].get('steps')} ({scoring['splitter']}), engine: "
            f"{','.join(scoring['engine'])}, settings: {scoring['settings_hash']}"
        )
    return lines
