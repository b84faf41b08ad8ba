"""The choice kept in the trainer's output folder, so that a resumed run trains on the same rows.

A student that has begun to learn scores differently: choosing again on resume would change the
data in the middle of a run.

A trainer's own model, tokenizer and processes as the student that chooses its rows.

TRL's SFTTrainer with its rows chosen by the student before it trains.

Three ways in, one choice: `NaturalSFTTrainer(selection=...)` (a mixin over `SFTTrainer`),
`attach(trainer, ...)` on a trainer that is already built, and `NaturalnessCallback` in
`callbacks=[...]`, which logs the figures and refuses to train where nothing was chosen.

`python -m lnat_plugins.hooks.trl_sft --config sft.yaml`: `trl sft` with its rows chosen by the student.

Takes TRL's own arguments and the `selection:` block. Under `accelerate launch -m
lnat_plugins.hooks.trl_sft` the processes share out the scoring and train on the same choice.

Rows chosen before a TRL trainer trains: from its data set to the rows that are left of it.

Knows how SFT data sets look and how a trainer runs; the trainer classes themselves stand in
`lnat_plugins.hooks.trl_sft`.
"""

from __future__ import annotations

import copy
import inspect
import json
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from datasets import Dataset
from transformers import (
    ProcessorMixin,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import SFTTrainer

from lnat_plugins.errors import ConfigError, DataError, LnatError
from lnat_plugins.files import write_atomic
from lnat_plugins.hooks.trl_data import chosen_rows, pool_of, refuse_kind
from lnat_plugins.plugins.configured import Chooser, read_block
from lnat_plugins.scoring.parallel import Processes
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.scoring.student import LocalStudent
from lnat_plugins.selection import Selection, SelectionSpec, Student
from lnat_plugins.selection.cards import counts, totals
from lnat_plugins.teacher_set import Candidates

FILE: Final = "lnat_selection.json"
_TOLERANCE: Final = 0.02
"""Nats per token. Half precision rounds scores by less; another student's differ by more."""


Probe = Mapping[str, Mapping[str, float]]
"""Index of a row -> window -> its mean log-probability, by which a student is known again."""


class Kept(NamedTuple):
    """A choice found in an output folder.

    Args:
        selection: the choice.
        probe: what the student made of one prompt; empty if the choice needed no scores.
        begun: whether a run on it has left a checkpoint.
    """

    selection: Selection
    probe: Probe
    begun: bool


def probe_of(pool: Candidates, records: Mapping[int, StepSums]) -> Probe:
    """Of the first prompt that was scored, whatever the choice was made by."""
    scored = [row for row in pool.rows if row.index in records]
    return {
        str(row.index): _means(records[row.index])
        for row in scored
        if row.prompt_id == scored[0].prompt_id
    }


def _means(record: StepSums) -> dict[str, float]:
    totals = {window: total for window, total in record.totals.items() if math.isfinite(total)}
    return {window: total / record.n_tokens for window, total in totals.items() if record.n_tokens}


def keep(folder: Path, selection: Selection, probe: Probe) -> None:
    """Write the choice whole, or not at all. ConfigError if the folder cannot be written to."""
    document = {**selection.as_dict(), "probe": probe}
    write_atomic(folder / FILE, json.dumps(document, default=str), "`output_dir`")


def find(folder: Path) -> Kept | None:
    """The choice kept in the folder, or None. DataError if it cannot be read."""
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        probe: Probe = values.pop("probe")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise DataError(
            "this is not a stored selection", where=str(path), remedy="delete it to choose again"
        ) from None
    begun = any(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"))
    return Kept(Selection.from_dict(values, str(path)), probe, begun)


def reusable(
    kept: Kept, pool: Candidates, student: Student, spec: SelectionSpec, folder: Path
) -> bool:
    """Whether the kept choice is the one that this run would make.

    Raises:
        ConfigError: it is not, and the folder holds a checkpoint that was trained on it.
    """
    changed = _changed(kept.selection, pool, spec)
    if not changed and not _same_student(kept.probe, pool, student):
        changed = "the student changed"
    if not changed:
        return True
    if not kept.begun:
        return False
    raise ConfigError(
        f"{changed}, and this folder holds a run on the rows chosen before",
        where=str(folder / FILE),
        remedy="resume with the same data, selection and student, or give another `output_dir`",
    )


def _changed(kept: Selection, pool: Candidates, spec: SelectionSpec) -> str:
    if kept.pool != pool.fingerprint:
        return "the data set changed"
    if _plain(kept.settings) != _plain(spec.written):
        return "the selection's settings changed"
    return ""


def _same_student(probe: Probe, pool: Candidates, student: Student) -> bool:
    """Scores one prompt again: whatever changes a student shows there."""
    rows = [row for row in pool.rows if str(row.index) in probe]
    return all(
        _alike(probe[str(row.index)], _means(record))
        for row, record in zip(rows, student.score(rows) if rows else (), strict=True)
    )


def _alike(before: Mapping[str, float], now: Mapping[str, float]) -> bool:
    return before.keys() == now.keys() and all(
        math.isclose(now[window], before[window], abs_tol=_TOLERANCE) for window in before
    )


def _plain(settings: Any) -> str:
    return json.dumps(settings, sort_keys=True, default=str)


_log = logging.getLogger(__name__)
_TWO_STAGES = "choose first with `lnat select`, and train on what it wrote with `trl sft`"


def choose_for(
    trainer: Any, dataset: Dataset, chooser: Chooser, *, tokenized: bool = False
) -> Selection:
    """Choose the trainer's rows with its final model and tokenizer, or take up its own choice.

    Every process of the run calls this alike and gets the same answer. The choice is kept in
    the trainer's output folder and reused by a run that resumes there.

    Args:
        trainer: a built trainer that has not begun.
        dataset: the candidates.
        chooser: the selection block.
        tokenized: whether TRL has prepared the data set already.

    Raises:
        ConfigError: a set-up in which the model is not whole in each process, or a choice kept
            from another run; names the way that works.
        DataError, StudentError: as for any choice.
    """
    refuse_sharded(trainer)
    processes = Processes()
    tokenizer = tokenizer_of(trainer)
    _refuse_weights(chooser.spec.strategy.weighs, chooser.spec.strategy.name)
    pool = processes.together(
        lambda: pool_of(
            dataset, chooser.spec.columns, tokenized=tokenized,
            eos=tokenizer.eos_token if tokenized else None,
        )
    )  # fmt: skip
    _refuse_other_rows(processes.gather(pool.fingerprint))
    if trainer.is_deepspeed_enabled:
        # With DeepSpeed the Trainer leaves the model on the CPU until training begins.
        trainer.model.to(trainer.args.device)
    student = LocalStudent(
        trainer.model, tokenizer, chooser.spec, plain=pool.plain, processes=processes
    )
    folder = Path(trainer.args.output_dir)
    kept = processes.once(lambda: find(folder))
    if kept is not None and reusable(kept, pool, student, chooser.spec, folder):
        selection = kept.selection
    else:
        chosen = chooser.choose(pool, student)
        _refuse_weights(chosen.weighted, chosen.strategy)
        # A plugin may choose differently in each process; there is one choice.
        selection = processes.once(lambda: chosen)
        probe = probe_of(pool, student.records)
        processes.once(lambda: keep(folder, selection, probe))
    if tokenized:
        _refuse_other_ids(trainer, dataset, pool, student, selection)
    if processes.main:
        print(f"{totals(selection)}\n\n{counts(selection)}")
        _warn_of_cuts(trainer, pool, student, selection)
    return selection


def refuse_sharded(trainer: Any) -> None:
    """Refuse set-ups whose processes hold no whole model to score with."""
    plugin = getattr(trainer.accelerator.state, "deepspeed_plugin", None)
    parallel = getattr(trainer.accelerator, "parallelism_config", None)
    way = (
        "FSDP" if trainer.is_fsdp_enabled
        else "DeepSpeed ZeRO-3" if plugin is not None and plugin.zero_stage == 3
        else "tensor, context or sequence parallelism"
        if any(getattr(parallel, f"{kind}_enabled", False) for kind in ("tp", "cp", "sp"))
        else ""
    )  # fmt: skip
    if way:
        raise ConfigError(f"rows cannot be chosen inside a run with {way}", remedy=_TWO_STAGES)
    if getattr(trainer.model, "_is_accelerate_prepared", False):
        raise ConfigError(
            "the trainer has evaluated, predicted or trained already",
            remedy="choose its rows right after building it",
        )


def tokenizer_of(trainer: Any) -> Any:
    """The trainer's tokenizer, with the template that it trains with; of a processor its own."""
    processing = trainer.processing_class
    found = processing.tokenizer if isinstance(processing, ProcessorMixin) else processing
    if getattr(trainer, "chat_template", None) is None:
        return found
    found = copy.copy(found)
    found.chat_template = trainer.chat_template
    return found


def _refuse_other_rows(fingerprints: list[str]) -> None:
    if len(set(fingerprints)) > 1:
        raise DataError(
            "the processes of this run hold different candidates",
            where="train_dataset",
            found=", ".join(fingerprints),
            remedy="load, shuffle and split the data with a fixed seed",
        )


def _refuse_other_ids(
    trainer: Any, dataset: Dataset, pool: Candidates, student: LocalStudent, selection: Selection
) -> None:
    """Rows that somebody tokenised otherwise are not the rows that were scored."""
    limit = trainer.args.max_length
    rows = [pool.rows[i] for i in selection.indices]
    for row, length in zip(rows, student.training_tokens(rows), strict=True):
        found = len(dataset[row.index]["input_ids"])
        if found != (length if limit is None else min(length, limit)):
            raise ConfigError(
                "the row's `input_ids` are not those of its text",
                where=row.where,
                found=f"{found} tokens, not {length}",
                remedy="give the trainer rows without `input_ids`",
            )


def _refuse_weights(weighted: bool, strategy: str) -> None:
    if weighted:
        raise ConfigError(
            "TRL's loss gives every row the same weight, so the weights of this choice would be "
            "ignored",
            found=strategy,
            remedy="write the rows with `lnat select` (column lnat_weight) for a trainer that "
            "weighs them, or choose with top_k or best",
        )


def _warn_of_cuts(
    trainer: Any, pool: Candidates, student: LocalStudent, selection: Selection
) -> None:
    limit = trainer.args.max_length
    if limit is None:
        return
    lengths = student.training_tokens([pool.rows[i] for i in selection.indices])
    longer = sum(length > limit for length in lengths)
    if longer:
        _log.warning(
            "%d of %d chosen rows are longer than SFTConfig.max_length=%d (the longest has %d "
            "tokens): they were scored whole and will be trained cut. Raise max_length, or set "
            "`max_length: %d` in the selection to choose among the rows that fit.",
            longer, len(lengths), limit, max(lengths), limit,
        )  # fmt: skip


class NaturalnessCallback(TrainerCallback):
    """Logs what was chosen; chooses itself once it is attached.

    A callback sees neither the trainer nor its data, so it cannot choose by being listed in
    `callbacks=[...]`: call `attach(trainer)` after building the trainer. Training with a
    callback that was never attached raises.

    Args:
        **selection: the keys of a `selection:` block: `strategy`, `windows`, `require_correct` …
    """

    def __init__(self, **selection: Any) -> None:
        self.chooser = _read(selection)
        self.selection: Selection | None = None
        self._trainer: Any = None

    def attach(self, trainer: SFTTrainer) -> Selection:
        """Choose the rows of a trainer that is built and has not begun; returns the choice.

        Raises:
            ConfigError: a packed data set, whose rows are no longer rows, or a set-up in which
                the model is not whole; names the way that works.
        """
        if trainer._formatting_func is not None:
            raise _no_formatting()
        if isinstance(getattr(trainer, "selection", None), Selection):
            raise ConfigError(
                "this trainer has chosen its rows already",
                remedy="choose once: by `selection=`, or by attaching a callback",
            )
        if trainer.args.packing:
            raise ConfigError(
                "the rows of a packed data set cannot be told apart any more",
                remedy="use NaturalSFTTrainer, which chooses before packing",
            )
        dataset = trainer.train_dataset
        selection = choose_for(trainer, dataset, self.chooser, tokenized=True)
        trainer.train_dataset = chosen_rows(dataset, selection)
        self.adopt(trainer, selection)
        return selection

    def adopt(self, trainer: SFTTrainer, selection: Selection) -> None:
        """Take over a choice that was made for this trainer, and log its figures in training."""
        self._trainer, self.selection = trainer, selection
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
        Trainer.log(self._trainer, self.selection.figures())


_Trainer: Any = SFTTrainer if TYPE_CHECKING else object


class NaturalSelectionMixin(_Trainer):
    """Chooses the training rows of an `SFTTrainer` while it is built; place it before the class.

    The candidates are held back until the trainer stands with its final model, tokenizer and
    template; then rows are chosen with these, and only the chosen ones are tokenised, packed
    and trained on. Evaluation data is left alone.

    Args:
        selection: the keys of a `selection:` block; by default the best response of each prompt
            by local naturalness. All other arguments are the trainer's own.
    """

    selection: Selection
    _held: inspect.BoundArguments | None = None

    def __init__(
        self, *args: Any, selection: Mapping[str, Any] | Chooser | None = None, **kwargs: Any
    ) -> None:
        chooser = _read(selection)
        given = _by_name(super().__init__, args, kwargs)
        _refuse(given)
        self._candidates: Any = given.get("train_dataset")
        super().__init__(*args, **kwargs)
        if self._held is None:
            raise ConfigError(
                "this trainer did not prepare its data set, so its rows could not be held back",
                found=type(self).__name__,
                remedy="choose with `select_dataset` before building the trainer",
            )
        self.selection = choose_for(self, self._candidates, chooser)
        held = self._held
        held.arguments["dataset"] = chosen_rows(self._candidates, self.selection)
        self.train_dataset = super()._prepare_dataset(*held.args, **held.kwargs)
        if not self.args.packing:
            _tell_dropped(len(self.selection.indices), len(self.train_dataset))
        callback = NaturalnessCallback()
        callback.adopt(self, self.selection)

    def _prepare_dataset(self, *args: Any, **kwargs: Any) -> Any:
        call = inspect.signature(super()._prepare_dataset).bind(*args, **kwargs)
        if self._held is None and call.arguments["dataset"] is self._candidates:
            self._held = call
            return self._candidates
        return super()._prepare_dataset(*args, **kwargs)


class NaturalSFTTrainer(NaturalSelectionMixin, SFTTrainer):
    """`trl.SFTTrainer` that chooses its rows before it trains.

    ```python
    trainer = NaturalSFTTrainer(
        model, args=args, train_dataset=candidates, selection={"strategy": "best", "windows": [4]}
    )
    trainer.train()
    ```
    """


def attach(trainer: SFTTrainer, **selection: Any) -> Selection:
    """Choose the rows of a trainer that is built and has not begun, and log the figures.

    Args:
        trainer: an `SFTTrainer` without packing, its data set with a column `teacher`.
        **selection: the keys of a `selection:` block.
    """
    return NaturalnessCallback(**selection).attach(trainer)


def _read(selection: Mapping[str, Any] | Chooser | None) -> Chooser:
    chooser = read_block(selection)
    if not isinstance(selection, Chooser) and chooser.spec.teacher_set is not None:
        raise ConfigError(
            "`teacher_set` belongs into a training config; a trainer has its candidates",
            where=chooser.spec.source,
            found=chooser.spec.teacher_set,
            remedy="leave it out, or run `python -m lnat_plugins.hooks.trl_sft --config FILE`",
        )
    return chooser


def _by_name(call: Any, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, also where the callee takes any."""
    signature = inspect.signature(call)
    given = dict(signature.bind_partial(*args, **kwargs).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            given |= given.pop(name, {})
    return given


def _tell_dropped(chosen: int, left: int) -> None:
    if not left:
        raise ConfigError(
            "TRL leaves out every chosen row: their prompts alone fill `max_length`",
            found=f"{chosen} rows",
            remedy="raise SFTConfig's max_length",
        )
    if left < chosen:
        _log.warning(
            "TRL leaves out %d of %d chosen rows, whose prompts alone fill max_length.",
            chosen - left, chosen,
        )  # fmt: skip


def _no_formatting() -> ConfigError:
    return ConfigError(
        "with a `formatting_func` the response cannot be told from the prompt",
        remedy="give the rows as `messages`, or as `prompt` and `completion`",
    )


def _refuse(given: Mapping[str, Any]) -> None:
    """What rows cannot be chosen from, before a model is loaded for it."""
    if given.get("formatting_func") is not None:
        raise _no_formatting()
    if given.get("train_dataset") is None:
        raise ConfigError("there are no candidates", remedy="give `train_dataset`")
    refuse_kind(given["train_dataset"], "train_dataset")
    if any(isinstance(one, NaturalnessCallback) for one in given.get("callbacks") or ()):
        raise ConfigError(
            "this trainer chooses its rows and logs the choice itself",
            found="NaturalnessCallback",
            remedy="leave the callback out, and give `selection=` to the trainer",
        )
    args = given.get("args")
    if (getattr(args, "dataset_kwargs", None) or {}).get("skip_prepare_dataset"):
        raise ConfigError(
            "with `skip_prepare_dataset` the trainer takes rows as they are",
            remedy="choose with `select_dataset` before preparing them",
        )


_HELP = """usage: python -m lnat_plugins.hooks.trl_sft --config FILE [TRL's arguments ...]

Chooses rows as the `selection:` block of FILE says, and trains on them as `trl sft` does.
FILE holds TRL's keys (`trl sft --help` lists them) and the block; arguments win over FILE.
docs/selection.md explains every key of the block."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Choose, train, save. Returns the exit code; 2 for bad input, told in one line."""
    given = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(given):
        print(_HELP)
        return 0
    try:
        _train(given)
    except LnatError as error:
        print(f"lnat: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _train(arguments: Sequence[str]) -> None:
    from trl import get_peft_config

    from lnat_plugins.hooks.trl_config import (
        FOREIGN,
        check_student,
        load_splits,
        model_arguments,
        read_run_config,
    )

    run = read_run_config(arguments)
    # Now: in a bare checkout, where it is missing, reading the block has told why.

    check_student(run)
    checkpoint = _checkpoint(run.training)
    run.training.model_init_kwargs = model_arguments(run)
    candidates, evaluation = load_splits(run)
    try:
        trainer = NaturalSFTTrainer(
            model=run.model.model_name_or_path,
            args=run.training,
            train_dataset=candidates,
            eval_dataset=evaluation,
            peft_config=get_peft_config(run.model),
            selection=run.chooser,
        )
    except FOREIGN as cause:
        raise ConfigError(
            f"TRL cannot build the trainer: {str(cause).strip().splitlines()[0]}",
            where=str(run.path),
            found=type(cause).__name__,
        ) from cause
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model(run.training.output_dir)
    trainer.accelerator.print(f"Model saved to {run.training.output_dir}")
    if run.training.push_to_hub:
        trainer.push_to_hub(dataset_name=run.script.dataset_name)


def _checkpoint(training: Any) -> str | bool | None:
    """Where to resume from, checked before anything is scored."""
    asked: str | bool | None = training.resume_from_checkpoint
    if not asked:
        return None
    if str(asked).lower() == "true":
        if any(Path(training.output_dir).glob("checkpoint-*")):
            return True
    elif Path(str(asked)).is_dir():
        return asked
    raise ConfigError(
        "there is no checkpoint to resume from",
        where="resume_from_checkpoint",
        found=asked,
        remedy="name a checkpoint's folder, or leave it out",
    )


if __name__ == "__main__":
    raise SystemExit(main())
