"""`lnat select`: rows to train on, from what lm-eval scored or as a training config says."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lnat_plugins.cli.shared import (
    add_plugins,
    log,
    log_files,
    print_result,
    read_plugins,
    split_names,
)
from lnat_plugins.errors import ConfigError

if TYPE_CHECKING:
    from lnat_plugins.selection import Selection
    from lnat_plugins.selection.cards import Provenance

_WHERE: Final = "lnat select"

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


def declare_select(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; what is not given stays None, to tell it from a default."""
    parser.description = (
        "Chooses rows to train on and writes them as a training set, with the reason for every row "
        "that is dropped: by the scores that lm_eval --log_samples wrote (OUT), or scored here and "
        "now as a training config says (--config). Without --output_path it only prints what it "
        "would choose."
    )
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
    options = parser.add_argument_group("options of the strategy, as YAML values")
    for name, words in strategy_options().items():
        options.add_argument(f"--{name}", type=_yaml, metavar="VALUE", help=words)
    options.add_argument(
        "--option",
        type=_pair,
        action="append",
        metavar="NAME=VALUE",
        help="an option of a strategy that a plugin brings; may be given several times",
    )
    _writing(parser.add_argument_group("what is written"))
    add_plugins(parser)
    parser.set_defaults(run=run_select)


def strategy_options() -> dict[str, str]:
    """Option -> help, of all built-in strategies."""
    from lnat_plugins.selection.strategies import STRATEGIES

    found: dict[str, str] = {}
    for strategy in STRATEGIES.values():
        for name, option in strategy.options.items():
            found.setdefault(name, option.help.replace("%", "%%"))
    found["teacher_mix"] += "; or the folder of an earlier choice, for the shares chosen there"
    return found


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


def run_select(args: argparse.Namespace) -> int:
    """Choose, write if requested, and print which rows are chosen and why others are not."""
    from lnat_plugins.selection.cards import counts
    from lnat_plugins.selection.training_set import check_folder, check_repo_id, push_to_hub

    check(args)
    if args.output_path:
        check_folder(args.output_path)
    if args.push_to_hub:
        check_repo_id(args.push_to_hub)
    selection, title, written = _by_config(args) if args.config else _by_scores(args)
    print_result("\n".join(title) + "\n\n" + counts(selection))
    for file in written:
        log(f"wrote {file}")
    if not written:
        log("nothing is written: give --output_path a folder for the training set")
    if args.push_to_hub:
        address = push_to_hub(args.output_path, args.push_to_hub, private=not args.public_repo)
        log(f"uploaded {address}")
    return 0


def _by_scores(args: argparse.Namespace) -> tuple[Selection, list[str], tuple[Path, ...]]:
    from lnat_plugins.api import read_scores

    plugins = read_plugins(args)
    scores = read_scores(*args.sources, plugins=plugins, tokenizer=args.tokenizer)
    log_files(scores)
    scores.scored.window(args.window)
    compared = scores.only(split_names(args.teachers, "--teachers"))
    selection = compared.select_by_block(block_of(args, scores.windows), where=_WHERE)
    written: tuple[Path, ...] = ()
    if args.output_path:
        written = compared.write(
            selection, args.output_path, format=args.format or "prompt_completion",
            llama_factory=args.llama_factory,
        )  # fmt: skip
    unit = plugins.registry.metrics[selection.metric].unit if selection.metric else ""
    return selection, _title(selection, compared.provenance, unit), written


def _by_config(args: argparse.Namespace) -> tuple[Selection, list[str], tuple[Path, ...]]:
    from lnat_plugins.hooks.trl_config import choose_by_config

    found = choose_by_config(args.config)
    written: tuple[Path, ...] = ()
    if args.output_path:
        written = found.write(
            args.output_path,
            format=args.format or "prompt_completion",
            llama_factory=args.llama_factory,
        )
    metric = found.selection.metric
    unit = found.run.chooser.plugins.registry.metrics[metric].unit if metric else ""
    return found.selection, _title(found.selection, found.provenance, unit), written


def _title(selection: Selection, provenance: Provenance, unit: str) -> list[str]:
    from lnat_plugins.selection.cards import totals

    by = f"strategy: {selection.strategy}"
    if selection.metric:
        direction = "higher" if selection.higher_is_better else "lower"
        by += f", metric: {selection.metric} ({unit}, {direction} is better)"
    if selection.window:
        by += f", window: {selection.window}"
    lines = [f"task: {provenance.task}, student: {selection.student}, {totals(selection)}", by]
    scoring: Mapping[str, Any] = provenance.scoring
    if scoring:
        lines.append(
            f"steps: {scoring['settings'].get('steps')} ({scoring['splitter']}), engine: "
            f"{','.join(scoring['engine'])}, settings: {scoring['settings_hash']}"
        )
    return lines


def check(args: argparse.Namespace) -> None:
    """Refuse arguments that do not go together.

    Raises:
        ConfigError: says which one is missing, or does nothing.
    """
    if bool(args.sources) == bool(args.config):
        raise ConfigError(
            "scores and a config are both named" if args.config else "no scores are named",
            where=_WHERE,
            remedy="name lm_eval's output folder or samples files, or a training config by "
            "--config FILE",
        )
    if args.config:
        _refuse_choosing(args)
    for name, (needed, remedy) in _NEEDS.items():
        if _is_given(vars(args)[name]) and not _is_given(vars(args)[needed]):
            raise ConfigError(
                f"--{name} does nothing without --{needed}", where=_WHERE, remedy=remedy
            )


def _is_given(value: Any) -> bool:
    return value is not None and value is not False


def _refuse_choosing(args: argparse.Namespace) -> None:
    """What the config's own block says is not said again on the command line."""
    for name, value in vars(args).items():
        if name not in _BESIDE_CONFIG and value is not None:
            raise ConfigError(
                f"--{name} has no effect beside --config",
                where=_WHERE,
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
        "plugins": split_names(args.plugins, "--plugins"),
    }
    block = {name: value for name, value in block.items() if value is not None}
    options = [
        (name, vars(args)[name]) for name in strategy_options() if vars(args)[name] is not None
    ]
    for name, value in (*options, *(args.option or ())):
        if name in block or name in KEYS:
            raise ConfigError(
                f"{name!r} is no option of a strategy, or is given twice",
                where=f"{_WHERE}: --option",
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
