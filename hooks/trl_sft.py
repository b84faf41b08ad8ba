"""TRL's SFTTrainer with its rows chosen by the student before it trains.

Three ways in, one choice: `NaturalSFTTrainer(selection=...)` (a mixin over `SFTTrainer`),
`attach(trainer, ...)` on a trainer that is already built, and `NaturalnessCallback` in
`callbacks=[...]`, which logs the figures and refuses to train where nothing was chosen.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTTrainer

from lnat_plugins.choosing import Chooser, read_block
from lnat_plugins.errors import ConfigError
from lnat_plugins.selection import Selection
from lnat_plugins.training import choose_for, chosen_rows
from lnat_plugins.training.candidates import refuse_kind

__all__ = ["NaturalSFTTrainer", "NaturalSelectionMixin", "NaturalnessCallback", "attach"]


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


_log = logging.getLogger(__name__)
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
            remedy="leave it out, or run `python -m lnat_plugins.sft --config FILE`",
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
