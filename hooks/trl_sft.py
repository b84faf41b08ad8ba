"""TRL's SFTTrainer with its rows chosen by the student before it trains.

Three ways in, one choice: `NaturalSFTTrainer(selection=...)` (a mixin over `SFTTrainer`),
`attach(trainer, ...)` on a trainer that is already built, and `NaturalnessCallback` in
`callbacks=[...]`, which logs the figures and refuses to train where nothing was chosen.

`lnat sft --config FILE`, or `accelerate launch -m lnat_plugins.hooks.trl_sft --config FILE`, is
`trl sft` with a `selection:` block; several processes share the scoring and train on one choice.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from datasets import Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTTrainer

from lnat_plugins.errors import ConfigError, DataError, LnatError, visible
from lnat_plugins.hooks.trl_config import build_trainer, load_splits, read_run_config, tokenizer_of
from lnat_plugins.hooks.trl_data import (
    TWO_STAGES,
    candidates_of,
    check_dataset,
    chosen_rows,
    refuse_other_losses,
    tokens_in,
)
from lnat_plugins.hooks.trl_lengths import check_dropped, check_lengths
from lnat_plugins.hooks.trl_order import keep_order
from lnat_plugins.hooks.trl_resume import checkpoint_to_resume, store_choice, stored_choice
from lnat_plugins.hooks.trl_train import saving
from lnat_plugins.hooks.trl_weights import (
    numbered,
    prepare_numbered,
    refuse_unweighable,
    weigh,
    weighs,
)
from lnat_plugins.plugins.configured import Chooser, read_block
from lnat_plugins.scoring.parallel import Processes
from lnat_plugins.scoring.student import LocalStudent
from lnat_plugins.selection import Selection
from lnat_plugins.selection.cards import counts, totals

_log = logging.getLogger(__name__)


def choose_rows(
    trainer: Any, dataset: Dataset, chooser: Chooser, *, tokenized: bool = False
) -> Selection:
    """Choose the trainer's rows with its final model and tokenizer, or reuse its stored choice.

    Every process of the run calls this alike and gets the same choice. It is stored in the
    trainer's output folder and reused by a run that resumes there.

    Args:
        trainer: a built trainer that has not begun.
        dataset: the candidates.
        chooser: the selection block.
        tokenized: whether TRL has prepared the data set already.

    Raises:
        ConfigError: a set-up in which the model is not whole in each process, or a choice stored
            by another run; names the way that works.
        DataError, StudentError: as for any choice.
    """
    refuse_sharded(trainer)
    _refuse_begun(trainer)
    processes = Processes()
    spec, tokenizer = chooser.spec, tokenizer_of(trainer)
    if spec.order is not None:
        keep_order(trainer)
    if spec.weighs and not spec.resample:
        refuse_unweighable(trainer)
    refuse_other_losses(trainer.args, spec)
    eos = tokenizer.eos_token if tokenized else None
    candidates = processes.together(
        lambda: candidates_of(
            dataset, spec.columns, tokenizer, tokenized=tokenized, eos=eos, turns=spec.turns
        )
    )
    fingerprints = processes.gather(candidates.fingerprint)
    if len(set(fingerprints)) > 1:
        raise DataError(
            "the processes of this run hold different candidates",
            where="train_dataset",
            found=", ".join(fingerprints),
            remedy="load, shuffle and split the data with a fixed seed",
        )
    if trainer.is_deepspeed_enabled:
        # With DeepSpeed the Trainer leaves the model on the CPU until training begins.
        trainer.model.to(trainer.args.device)
    student = LocalStudent(
        trainer.model, tokenizer, spec, plain=candidates.plain, processes=processes,
        progress=not trainer.args.disable_tqdm,
    )  # fmt: skip
    folder = Path(trainer.args.output_dir)
    selection: Selection | None = stored_choice(folder, candidates, student, spec, processes)
    if selection is None:
        own = chooser.choose(candidates, student)
        # A plugin may choose differently in each process; there is one choice.
        selection = processes.once(lambda: own)
        processes.once(lambda: store_choice(folder, own, candidates, student.records))
    if selection.weighted:  # a plugin's choice may be, whatever the strategy
        refuse_unweighable(trainer)
    if tokenized or processes.main:
        check_lengths(trainer, dataset if tokenized else None, candidates, student, selection)
    if processes.main:
        print(visible(f"{totals(selection)}\n\n{counts(selection)}", keep="\n"))
    return selection


def refuse_sharded(trainer: Any) -> None:
    """Refuse set-ups whose processes hold no whole model to score with."""
    plugin = getattr(trainer.accelerator.state, "deepspeed_plugin", None)
    parallel = getattr(trainer.accelerator, "parallelism_config", None)
    sharding = (
        "FSDP" if trainer.is_fsdp_enabled
        else "DeepSpeed ZeRO-3" if plugin is not None and plugin.zero_stage == 3
        else "tensor, context or sequence parallelism"
        if any(getattr(parallel, f"{kind}_enabled", False) for kind in ("tp", "cp", "sp"))
        else ""
    )  # fmt: skip
    if sharding:
        raise ConfigError(f"rows cannot be chosen inside a run with {sharding}", remedy=TWO_STAGES)


def _refuse_begun(trainer: Any) -> None:
    """Refuse a trainer that has trained, and a model that several processes would not share.

    One process may use a model that an earlier trainer has prepared: nothing is wrapped around it.
    """
    if trainer.state.global_step:
        raise ConfigError(
            "the trainer has trained already", found=f"step {trainer.state.global_step}",
            remedy="choose its rows right after building it",
        )  # fmt: skip
    # Set by accelerate's `prepare_model`, which then returns the model as it is: DDP would never
    # wrap it, and the processes would train apart.
    if trainer.accelerator.num_processes > 1 and getattr(
        trainer.model, "_is_accelerate_prepared", False
    ):
        raise ConfigError(
            "a trainer has evaluated, predicted or trained with this model already",
            remedy="choose rows right after building a trainer, with a model that is loaded anew",
        )


class NaturalnessCallback(TrainerCallback):
    """Logs what was chosen; chooses itself once it is attached.

    A callback sees neither the trainer nor its data, so it cannot choose by being listed in
    `callbacks=[...]`: call its `attach(trainer)` after building the trainer. Training with a
    callback that was never attached raises.

    Args:
        selection: the keys of a `selection:` block, as for `NaturalSFTTrainer`.
    """

    def __init__(self, selection: Mapping[str, Any] | Chooser | None = None) -> None:
        self.chooser = _read_selection(selection)
        self.selection: Selection | None = None
        self._figures: dict[str, float] = {}
        self._trainer: Any = None

    def attach(self, trainer: SFTTrainer) -> Selection:
        """Choose the rows of a trainer that is built and has not begun; returns the choice.

        Raises:
            ConfigError: a packed data set, whose rows are no longer rows, or a set-up in which
                the model is not whole; names the way that works.
        """
        _refuse_formatting(trainer._formatting_func)
        if isinstance(getattr(trainer, "selection", None), Selection):
            raise ConfigError(
                "this trainer has chosen its rows already",
                remedy="choose once: by `selection=`, or by attaching a callback",
            )
        if trainer.args.packing:
            raise ConfigError(
                "the rows of a packed data set cannot be separated any more",
                remedy="use NaturalSFTTrainer, which chooses before packing",
            )
        if self.chooser.spec.mix_answers is not None:
            raise ConfigError(
                "`mix_answers` changes texts, and this trainer has tokenised them already",
                where=self.chooser.spec.source, found=self.chooser.spec.mix_answers,
                remedy="use NaturalSFTTrainer, which chooses before rows are tokenised",
            )  # fmt: skip
        selection = choose_rows(trainer, trainer.train_dataset, self.chooser, tokenized=True)
        trainer.train_dataset = chosen_rows(trainer.train_dataset, selection)
        figures = {}
        if weighs(self.chooser.spec, selection):
            trainer.train_dataset = numbered(trainer.train_dataset)
            figures = weigh(trainer, selection.row_weights)
        self.adopt(trainer, selection, figures)
        return selection

    def adopt(
        self, trainer: SFTTrainer, selection: Selection, figures: Mapping[str, float]
    ) -> None:
        """Take over a choice made for this trainer, to log its figures, and these, in training."""
        self._trainer, self.selection = trainer, selection
        self._figures = {**selection.figures(), **tokens_in(trainer.train_dataset), **figures}
        trainer.selection = selection
        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Log the figures, or refuse to train on rows that nobody chose."""
        if self.selection is None or state is not self._trainer.state:
            raise ConfigError(
                "NaturalnessCallback was never attached to this trainer, so all rows would be "
                "trained on",
                remedy="call callback.attach(trainer) after building the trainer, or use "
                "NaturalSFTTrainer",
            )
        # SFTTrainer.log would clear its running averages.
        Trainer.log(self._trainer, {**self._figures})


# A mixin at run time; mypy reads it as the SFTTrainer that it is always placed before.
_Trainer: Any = SFTTrainer if TYPE_CHECKING else object


class NaturalSelectionMixin(_Trainer):
    """Chooses the training rows of an `SFTTrainer` while it is built; place it before the class.

    The candidates are held back until the trainer has its final model, tokenizer and template;
    then rows are chosen with these, and only the chosen ones are tokenised, packed and trained
    on. Evaluation data is left alone.

    Args:
        selection: the keys of a `selection:` block; by default the best response of each prompt
            by local naturalness. All other arguments are the trainer's own.
    """

    selection: Selection
    _held_call: inspect.BoundArguments | None = None

    def __init__(
        self, *args: Any, selection: Mapping[str, Any] | Chooser | None = None, **kwargs: Any
    ) -> None:
        chooser = _read_selection(selection)
        self._candidates: Any = _check_arguments(super().__init__, args, kwargs, chooser)
        super().__init__(*args, **kwargs)
        if self._held_call is None:
            raise ConfigError(
                "this trainer did not prepare its data set, so its rows could not be held back",
                found=type(self).__name__,
                remedy="choose with `select_dataset` before building the trainer",
            )
        selected = choose_rows(self, self._candidates, chooser)
        call = self._held_call
        call.arguments["dataset"] = chosen_rows(self._candidates, selected)
        prepare, figures = super()._prepare_dataset, {}
        if weighs(chooser.spec, selected):
            self.train_dataset = prepare_numbered(prepare, call)
            figures = weigh(self, selected.row_weights)
        else:
            self.train_dataset = prepare(*call.args, **call.kwargs)
        if not self.args.packing:
            check_dropped(len(selected.rows), len(self.train_dataset))
        NaturalnessCallback(chooser).adopt(self, selected, figures)

    def _prepare_dataset(self, *args: Any, **kwargs: Any) -> Any:
        call = inspect.signature(super()._prepare_dataset).bind(*args, **kwargs)
        # By identity: an evaluation set may be the same rows, or be called "train".
        if self._held_call is None and call.arguments["dataset"] is self._candidates:
            self._held_call = call
            return self._candidates
        return super()._prepare_dataset(*args, **kwargs)


class NaturalSFTTrainer(NaturalSelectionMixin, SFTTrainer):
    """`trl.SFTTrainer` that chooses its rows before it trains.

    ::

        trainer = NaturalSFTTrainer(
            model, args=args, train_dataset=candidates,
            selection={"strategy": "best", "windows": [4]},
        )
        trainer.train()
    """


def attach(trainer: SFTTrainer, **selection: Any) -> Selection:
    """Choose the rows of a trainer that is built and has not begun, and log the figures.

    Args:
        trainer: an `SFTTrainer` without packing, its data set with a column `teacher`.
        **selection: the keys of a `selection:` block.
    """
    return NaturalnessCallback(selection).attach(trainer)


def _read_selection(selection: Mapping[str, Any] | Chooser | None) -> Chooser:
    chooser = read_block(selection)
    if not isinstance(selection, Chooser) and chooser.spec.teacher_set is not None:
        raise ConfigError(
            "`teacher_set` belongs in a training config; a trainer has its candidates",
            where=chooser.spec.source,
            found=chooser.spec.teacher_set,
            remedy="leave it out, or run `lnat sft --config FILE`",
        )
    return chooser


def _check_arguments(
    init: Any, args: Sequence[Any], kwargs: Mapping[str, Any], chooser: Chooser
) -> Any:
    """The candidates among a trainer's arguments; refuses, before a model is loaded, what fails."""
    signature = inspect.signature(init)
    given = dict(signature.bind_partial(*args, **kwargs).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            given |= given.pop(name, {})
    _refuse_formatting(given.get("formatting_func"))
    candidates = given.get("train_dataset")
    if candidates is None:
        raise ConfigError("there are no candidates", remedy="give `train_dataset`")
    check_dataset(candidates, chooser.spec.columns, "train_dataset")
    if any(isinstance(one, NaturalnessCallback) for one in given.get("callbacks") or ()):
        raise ConfigError(
            "this trainer chooses its rows and logs the choice itself",
            found="NaturalnessCallback",
            remedy="leave the callback out, and give `selection=` to the trainer",
        )
    if (getattr(given.get("args"), "dataset_kwargs", None) or {}).get("skip_prepare_dataset"):
        raise ConfigError(
            "with `skip_prepare_dataset` the trainer takes rows as they are",
            remedy="choose with `select_dataset` before preparing them",
        )
    return candidates


def _refuse_formatting(function: Any) -> None:
    if function is not None:
        raise ConfigError(
            "with a `formatting_func` the response cannot be separated from the prompt",
            remedy="give the rows as `messages`, or as `prompt` and `completion`",
        )


_HELP: Final = """usage: lnat sft --config FILE [TRL's arguments ...]
       accelerate launch -m lnat_plugins.hooks.trl_sft --config FILE [TRL's arguments ...]

Chooses rows as the `selection:` block of FILE says, and trains on them as `trl sft` does.
FILE holds TRL's keys (`trl sft --help` lists them) and the block; arguments win over FILE.
docs/selection.md explains every key of the block."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Choose, train, save. Returns the exit code: 2 for bad input and 130 for Ctrl-C, after one
    line on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(_HELP)
        return 0
    try:
        run = read_run_config(arguments)
        args = run.training_args
        checkpoint = checkpoint_to_resume(args)
        rows, evaluation = load_splits(run)
        trainer = build_trainer(run, NaturalSFTTrainer, rows, evaluation, selection=run.chooser)
        with saving(args.output_dir):
            trainer.train(resume_from_checkpoint=checkpoint)
            trainer.save_model(args.output_dir)
        trainer.accelerator.print(f"Model saved to {args.output_dir}")
        if args.push_to_hub:
            trainer.push_to_hub(dataset_name=run.script_args.dataset_name)
    except LnatError as error:
        print(f"lnat: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        what = "checkpoints and the rows that were chosen are kept; resume_from_checkpoint goes on"
        print(f"lnat: interrupted: {what}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
