"""`lnat select`: rows to train on, from what lm-eval scored or as a training config says."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lnat_plugins.cli.shared import (
    add_overwrite,
    add_plugins,
    keep_to_the_end,
    log,
    log_files,
    print_result,
    read_contrasted,
    read_plugins,
    split_names,
)
from lnat_plugins.errors import ConfigError, shorten
from lnat_plugins.files import shown, yaml_value

if TYPE_CHECKING:
    from lnat_plugins.plugins import Plugins
    from lnat_plugins.selection import Selection
    from lnat_plugins.selection.cards import Provenance
    from lnat_plugins.selection.formats import Format
    from lnat_plugins.teacher_set import Candidates

_WHERE: Final = "lnat select"

_BESIDE_CONFIG: Final = frozenset(
    "sources config format output_path overwrite push_to_hub public_repo run".split()
)

_FOLDER: Final = ("output_path", "name the folder that the training set is written to")

_GPUS: Final = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""What Linux has where there is a GPU: of NVIDIA, of AMD, under Windows."""

# What does nothing without something else -> that, and what to do.
_NEEDS: Final = {
    "push_to_hub": _FOLDER,
    "format": _FOLDER,
    "overwrite": _FOLDER,
    "public_repo": ("push_to_hub", "name the repository that is to be public"),
}


def declare_select(parser: argparse.ArgumentParser) -> None:
    """`lnat select`: chooses rows, prints which and why, writes them if requested."""
    parser.description = (
        "Chooses rows to train on and writes them as a training set, with the reason for every row "
        "that is dropped: by the scores that lm_eval --log_samples wrote (OUT), or scored here and "
        "now as a training config says (--config). Without --output_path it only prints what it "
        "would choose."
    )
    parser.add_argument(
        "sources", nargs="*", metavar="OUT",
        help="lm_eval's output folder (the newest samples of the task), or samples files",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path, metavar="FILE",
        help="a training config, TRL's keys and a `selection:` block: score its rows and choose",
    )  # fmt: skip

    add = parser.add_argument_group(
        "what is chosen (with OUT; --config says it itself)"
    ).add_argument
    # None = not given, which `--config` needs to know.
    flag: dict[str, Any] = {"action": "store_true", "default": None}
    add("--strategy", help="default: best")
    add(
        "--metric",
        help="contrast takes two OUTs, the first student's against the second's; default: "
        "local_naturalness",
    )
    add("--window", help="a scored window; default: the one that the metric reads, else the first")
    add(
        "--teachers",
        metavar="A,B",
        help="only their rows; default: all; a comma of a name is written \\,",
    )
    add("--require_correct", help="only rows known to be correct", **flag)
    add(
        "--max_length", type=int, metavar="N",
        help="only rows of at most N tokens as training reads them, prompt and template included",
    )  # fmt: skip
    add(
        "--min_margin", type=float, metavar="X",
        help="only prompts whose best row leads the second best by X, in the metric's unit",
    )  # fmt: skip
    add(
        "--where", action="append", metavar="CONDITION",
        help="only prompts that meet it, such as 'disagreement >= 0.3', 'share_correct < 1' or "
        "'score_spread > 0.1'; may be given several times",
    )  # fmt: skip
    add(
        "--keep_duplicates", **flag,
        help="keep all of several equal responses to a prompt; default: the first",
    )  # fmt: skip
    add(
        "--weights", metavar="FILE",
        help="a weight for each row, as `lnat nce` writes it; rows without one are dropped",
    )  # fmt: skip
    add(
        "--resample", **flag,
        help="draw as many rows as were chosen by weight, with replacement; all weigh 1 then",
    )  # fmt: skip
    add(
        "--order", choices=("easy_to_hard", "hard_to_easy", "random"),
        help="of the rows in training; default: that of the data, which trainers shuffle",
    )  # fmt: skip
    add(
        "--mix_answers", type=float, metavar="SHARE",
        help="of the chosen prompts: the easiest keep their answers alone, without the thinking",
    )  # fmt: skip
    add("--seed", type=int, help="for whatever is drawn; default: 1234")
    add(
        "--tokenizer", metavar="NAME",
        help="folder or name of the tokenizer that training will use; default: the student's",
    )  # fmt: skip

    add = parser.add_argument_group("options of the strategy, as YAML values").add_argument
    for name, words in strategy_options().items():
        add(f"--{name}", type=_yaml, metavar="VALUE", help=words)
    add(
        "--option", type=_pair, action="append", metavar="NAME=VALUE",
        help="an option of a strategy that a plugin brings; may be given several times",
    )  # fmt: skip

    add = parser.add_argument_group("what is written").add_argument
    add(
        "--output_path", type=Path, metavar="DIR",
        help="write the training set there; one that stands there is replaced",
    )  # fmt: skip
    add_overwrite(add)
    from lnat_plugins.selection.formats import FORMATS

    add(
        "--format", choices=tuple(FORMATS), metavar="NAME",
        help=f"for which trainer: {', '.join(FORMATS)}; default: trl",
    )  # fmt: skip
    add("--push_to_hub", metavar="REPO", help="upload it as a data set, private if it is new")
    add("--public_repo", action="store_true", help="make a new repository public")
    add_plugins(parser)
    parser.set_defaults(run=_select)


def strategy_options() -> dict[str, str]:
    """Option -> help, of all built-in strategies."""
    from lnat_plugins.selection.strategies import STRATEGIES

    found: dict[str, str] = {}
    for strategy in STRATEGIES.values():
        for name, option in strategy.options.items():
            found.setdefault(name, option.help.replace("%", "%%"))
    found["teacher_mix"] += "; or the folder of an earlier choice, for the shares chosen there"
    return found


def _select(args: argparse.Namespace) -> int:
    from lnat_plugins.selection.cards import counts
    from lnat_plugins.selection.formats import FORMATS, Chosen
    from lnat_plugins.selection.training_set import (
        check_folder,
        check_repo_id,
        push_to_hub,
        standing,
        write_training_set,
    )

    _check(args)
    if args.output_path:
        check_folder(args.output_path, args.overwrite)
    if args.push_to_hub:
        check_repo_id(args.push_to_hub)
    form = FORMATS[args.format or "trl"]
    plugins, candidates, selection, provenance, training = (
        _by_config(args, form) if args.config else _by_scores(args, form)
    )
    written: tuple[Path, ...] = ()
    replaced, other = "", False
    if args.output_path:
        replaced = standing(args.output_path)
        other = args.output_path.is_dir() and any(args.output_path.iterdir())
        written = write_training_set(
            args.output_path, candidates, selection, format=form.name, provenance=provenance,
            overwrite=args.overwrite, **training,
        )  # fmt: skip
    text = f"{_title(selection, provenance, plugins)}\n\n{counts(selection)}"
    if written and (said := form.said(Chosen(candidates, selection, training.get("rejected")))):
        text += "".join(f"\n{line}\n" for line in said)
    print_result(text)
    if other and not replaced:
        log(f"replaced the folder {shown(args.output_path)}")
    if replaced:
        log(f"replaced the training set in {shown(args.output_path)} ({replaced})")
    for file in written:
        log(f"wrote {shown(file)}")
    if not written:
        again = shlex.join(["lnat", *args.command_line, "--output_path", "chosen"])
        log("nothing is written: give --output_path a folder for the training set")
        log(f"next: {again}")
    if args.push_to_hub:
        address = push_to_hub(args.output_path, args.push_to_hub, private=not args.public_repo)
        log(f"uploaded {address}")
    if args.output_path:
        log(f"next: {_train(args.output_path, form)}")
    return 0


def _train(folder: Path, form: Format) -> str:
    """The command that trains on a training set here; torch is not loaded to look for a GPU."""
    if form.command is None:
        return f"{shown(folder / 'README.md')} says how {form.trainer} reads it"
    command, config = form.command
    gpu = sys.platform != "linux" or any(Path(one).exists() for one in _GPUS)
    words = ["trl", command, "--config", shown(folder / config)]
    return shlex.join([*words, *([] if gpu else ["--use_cpu"])])


def _check(args: argparse.Namespace) -> None:
    """Refuse arguments that do not go together."""
    if bool(args.sources) == bool(args.config):
        raise ConfigError(
            "scores and a config are both named" if args.config else "no scores are named",
            where=_WHERE,
            remedy="name lm_eval's output folder or samples files, or a training config by "
            "--config FILE",
        )
    given = {k: v for k, v in vars(args).items() if v is not None and k != "command_line"}
    for name, value in given.items() if args.config else ():
        if name not in _BESIDE_CONFIG:
            raise ConfigError(
                f"--{name} has no effect beside --config",
                where=_WHERE,
                found=value,
                remedy=f"write it in the `selection:` block of {args.config}",
            )
    given = {k: v for k, v in given.items() if v is not False}
    for name, (needed, remedy) in _NEEDS.items():
        if name in given and needed not in given:
            raise ConfigError(
                f"--{name} does nothing without --{needed}", where=_WHERE, remedy=remedy
            )


def _by_scores(
    args: argparse.Namespace, form: Format
) -> tuple[Plugins, Candidates, Selection, Provenance, dict[str, Any]]:
    from lnat_plugins.api import read_scores
    from lnat_plugins.metrics.contrast import CONTRAST

    plugins = read_plugins(args)
    if args.metric == CONTRAST.name:
        scores = read_contrasted(args.sources, plugins, args.tokenizer)
    else:
        scores = read_scores(*args.sources, plugins=plugins, tokenizer=args.tokenizer)
    keep_to_the_end([scores])
    log_files(scores)
    scores.scored.window(args.window)
    scores = scores.only(split_names(args.teachers, "--teachers"))
    block = {"strategy": form.strategy} | _block(args, scores.windows)
    selection = scores.select_by_block(block, where=_WHERE)
    needed = scores.needed_by(form.name, selection, _WHERE) if args.output_path else {}
    return plugins, scores.candidates, selection, scores.provenance, needed


def _by_config(
    args: argparse.Namespace, form: Format
) -> tuple[Plugins, Candidates, Selection, Provenance, dict[str, Any]]:
    from lnat_plugins.hooks.trl_config import choose_by_config
    from lnat_plugins.plugins.configured import needed_by

    found = choose_by_config(args.config, form.strategy)
    plugins, candidates, selection = found.run.chooser.plugins, found.candidates, found.selection
    training: dict[str, Any] = {"sft_settings": found.sft_settings}
    if args.output_path:
        training |= needed_by(form, candidates, selection, found.student, plugins, _WHERE)
    return plugins, candidates, selection, found.provenance, training


def _title(selection: Selection, provenance: Provenance, plugins: Plugins) -> str:
    from lnat_plugins.budget.choice import NAME
    from lnat_plugins.metrics.budgeted import LOCAL_NATURALNESS_STRIDE
    from lnat_plugins.scoring.chat import rendering_in_words
    from lnat_plugins.scoring.record import steps_in_words
    from lnat_plugins.selection.cards import totals

    title = f"task: {provenance.task}, student: {selection.student}, {totals(selection)}\n"
    title += f"strategy: {selection.strategy}"
    if selection.metric:
        metrics = {**plugins.registry.metrics, NAME: LOCAL_NATURALNESS_STRIDE}
        unit = metrics[selection.metric].unit
        direction = "higher" if selection.higher_is_better else "lower"
        title += f", metric: {selection.metric} ({unit}, {direction} is better)"
    if selection.window:
        title += f", window: {selection.window}"
    scoring = provenance.scoring
    if scoring:
        title += (
            f"\nsteps: {steps_in_words(scoring['settings'], scoring['splitter'])}, engine: "
            f"{','.join(scoring['engine'])}, settings: {scoring['settings_hash']}"
        )
        if rendering := rendering_in_words(scoring["settings"]):
            title += f"\nrendering: {rendering}"
    return title


def _block(args: argparse.Namespace, windows: Sequence[str]) -> dict[str, Any]:
    """The arguments as the `selection:` block of a config would have them."""
    from lnat_plugins.selection import KEYS
    from lnat_plugins.selection.training_set import read_selection

    keys = (
        "strategy", "metric", "window", "require_correct", "max_length", "min_margin", "where",
        "weights", "resample", "order", "mix_answers", "seed",
    )  # fmt: skip
    block = {key: getattr(args, key) for key in keys} | {
        "windows": list(windows),
        "drop_duplicates": False if args.keep_duplicates else None,
        "plugins": split_names(args.plugins, "--plugins"),
    }
    block = {name: value for name, value in block.items() if value is not None}
    options = [(name, getattr(args, name)) for name in strategy_options()]
    options = [(name, value) for name, value in options if value is not None]
    for name, value in (*options, *(args.option or ())):
        if name in block or name in KEYS:
            raise ConfigError(
                f"{name!r} is no option of a strategy, or is given twice",
                where=f"{_WHERE}: --option",
                remedy="give each option once; what is no option has an argument of its own",
            )
        if name == "teacher_mix" and isinstance(value, str):  # the folder of an earlier choice
            chosen = read_selection(value).chosen_by_teacher
            value = {teacher: count for teacher, count in chosen.items() if count}
        block[name] = value
    return block


def _yaml(text: str) -> Any:
    try:
        return yaml_value(text, shorten(text))
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"not NAME=VALUE: {text!r}")
    return name.strip(), _yaml(value)
