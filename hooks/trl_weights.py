"""Row weights in TRL's loss: each row's mean loss, times its weight.

One optimizer step over R rows, of all micro-batches and processes, minimises

    L = (1/R) Σ_r w_r · (1/n_r) Σ_t nll_rt

over the n_r tokens of row r that TRL trains on. TRL's own loss is the mean over all tokens, in
which a row counts by its length. The weights have mean 1 over the rows trained on.

TRL (1.15 and later) sums the log-probabilities that the model returns token by token
(`fused_lm_head=True`), so it is enough to scale these: masks, packing, the metrics in the log and
what the processes share stay TRL's own. Evaluation is not weighted.

Shapes: B sequences of T tokens, R rows.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import trl
from datasets import Dataset
from transformers import Trainer
from trl import SFTTrainer
from trl.trainer import sft_trainer

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.ranking.table import Floats, Ints
from lnat_plugins.selection import Selection, SelectionSpec

ROW: Final = "lnat_row"
"""The column of row numbers: one a sequence, or one a token where rows are packed."""

_WEIGHTS: Final = "lnat_token_weights"
_SHARES: Final = "lnat_token_shares"
_REMEDY: Final = (
    "remove it; or set `resample: true` in the selection, which draws rows by weight instead"
)


def refuse_unweighable(trainer: Any) -> None:
    """Refuse a trainer whose loss cannot take row weights, before anything is scored.

    Raises:
        ConfigError: names the setting.
    """
    args = trainer.args
    collator = type(trainer.data_collator)
    own_loss = (
        type(trainer).compute_loss is not SFTTrainer.compute_loss
        or type(trainer)._get_num_items_in_batch is not Trainer._get_num_items_in_batch
    )
    problems = {
        f"trl {trl.__version__}": not hasattr(sft_trainer, "add_fused_lm_head"),
        f"loss_type: {args.loss_type}": args.loss_type != "nll",
        "label_smoothing_factor": args.label_smoothing_factor > 0,
        "compute_loss_func": trainer.compute_loss_func is not None,
        f"{type(trainer).__name__}.compute_loss": own_loss,
        f"data_collator: {collator.__name__}": (
            collator is not sft_trainer.DataCollatorForLanguageModeling
        ),
    }
    for found, is_so in problems.items():
        if is_so:
            raise ConfigError(
                "this choice weighs rows, and only the `nll` loss of TRL 1.15 or later, with its "
                "own collator, takes weights",
                found=found, remedy=_REMEDY,
            )  # fmt: skip


def weighs(spec: SelectionSpec, selection: Selection) -> bool:
    """Whether training on the selection weighs rows; by the block, even if all weigh the same."""
    return (spec.weighs and not spec.resample) or selection.weighted


def numbered(dataset: Dataset) -> Dataset:
    """The rows with their numbers, 0 to R - 1 (`ROW`)."""
    return dataset.add_column(ROW, list(range(len(dataset))))


def prepare_numbered(prepare: Callable[..., Dataset], call: inspect.BoundArguments) -> Dataset:
    """TRL's preparation of a data set, packing included, with each token's row number (`ROW`).

    Args:
        prepare: the trainer's `_prepare_dataset`.
        call: its arguments; row i of their data set gets number i.
    """

    def again(**changes: Any) -> Dataset:
        changed = inspect.BoundArguments(call.signature, type(call.arguments)(call.arguments))
        changed.arguments.update(changes)
        return prepare(*changed.args, **changed.kwargs)

    dataset = numbered(call.arguments["dataset"])
    if not call.arguments["packing"]:
        return again(dataset=dataset)
    # TRL packs two columns and drops all others. So the labels carry the numbers through it: a
    # label is its token's id, or it is -100.
    args = copy.copy(call.arguments["args"])
    args.max_length, args.shuffle_dataset = None, False
    tokenized = again(dataset=dataset, args=args, packing=False)
    return again(dataset=tokenized.map(_numbers_as_labels)).map(_labels_again)


def _numbers_as_labels(example: Mapping[str, Any]) -> dict[str, Any]:
    row = example[ROW]
    return {"labels": [-1 - row if label == -100 else row for label in example["labels"]]}


def _labels_again(example: Mapping[str, Any]) -> dict[str, Any]:
    ids, numbers = example["input_ids"], example["labels"]
    return {
        "labels": [token if row >= 0 else -100 for token, row in zip(ids, numbers, strict=True)],
        ROW: [row if row >= 0 else -1 - row for row in numbers],
    }


def _rows_of_tokens(example: Mapping[str, Any]) -> Ints:
    return np.broadcast_to(np.asarray(example[ROW]), len(example["input_ids"]))


@dataclass(frozen=True)
class _Collator:
    """TRL's collator, and the weight and share of each token that is trained on.

    Attributes:
        trl: TRL's own.
        weights: (R,) w_r / n_r.
        shares: (R,) 1 / n_r: the shares of a row's tokens add up to one row, wherever it is cut.
    """

    trl: Any
    weights: Floats
    shares: Floats

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = self.trl(examples)
        if ROW not in examples[0]:
            return batch  # to evaluate on
        rows = [_rows_of_tokens(example) for example in examples]
        if self.trl.padding_free:
            rows = [np.concatenate(rows)]
        for name, values in ((_WEIGHTS, self.weights), (_SHARES, self.shares)):
            batch[name] = torch.zeros(batch["labels"].shape)
            for line, numbers in zip(batch[name], rows, strict=True):
                line[: len(numbers)] = torch.as_tensor(values[numbers])
            batch[name][batch["labels"] == -100] = 0
            batch[name][:, 0] = 0  # no token before it predicts it
        return batch


def weigh(trainer: Any, weights: Sequence[float]) -> dict[str, float]:
    """Make a trainer weigh rows in its loss; figures on the weights for its log.

    Args:
        trainer: an `SFTTrainer` that has not begun, its rows numbered (`prepare_numbered`).
        weights: by row number, finite and 0 or more.

    Returns:
        `lnat/weight_min` and `lnat/weight_max` of the weights with mean 1, and
        `lnat/effective_rows`, (Σw)² / Σw²: as many rows of equal weight would average out as well
        (Kish, Survey Sampling, 1965).

    Raises:
        DataError: no row that is trained on has a weight above 0.
    """
    collator = trainer.data_collator
    trainer._set_signature_columns_if_needed()
    trainer._signature_columns = [*trainer._signature_columns, ROW]
    dataset = trainer.train_dataset
    read = [name for name in dataset.column_names if name in trainer._signature_columns]
    tokens = np.zeros(len(weights), dtype=np.int64)
    for example in dataset.select_columns(read):
        # What TRL does not train on, at the beginning of a sequence too, is settled as it collates.
        trained = collator([example])["labels"][0, 1:] != -100
        numbers = _rows_of_tokens(example)[1:]
        np.add.at(tokens, numbers[trained[: len(numbers)].numpy()], 1)
    is_trained = tokens > 0
    found = np.array(weights)[is_trained]
    if not found.any():
        raise DataError(
            "no row that is trained on has a weight above 0",
            found=f"{len(found)} of {len(weights)} rows are trained on",
            remedy="raise SFTConfig's max_length, or loosen the selection",
        )
    found = found / found.max()
    found = found / found.mean()
    shares, per_token = np.zeros(len(weights)), np.zeros(len(weights))
    shares[is_trained] = 1 / tokens[is_trained]
    per_token[is_trained] = found / tokens[is_trained]

    trainer.data_collator = _Collator(collator, per_token, shares)
    # On the trainer itself, since `attach` gets one that is built already.
    trainer._get_num_items_in_batch = lambda batches, device: _rows_in_step(
        trainer, batches, device
    )
    trainer.compute_loss = lambda *args, **kwargs: _compute_loss(trainer, *args, **kwargs)
    # Else the Trainer would divide the loss by the number of micro-batches again.
    trainer.model_accepts_loss_kwargs = True
    return {
        "lnat/weight_min": float(found.min()),
        "lnat/weight_max": float(found.max()),
        "lnat/effective_rows": float(found.sum() ** 2 / (found**2).sum()),
    }


def weighed_trainer(weights: Sequence[float]) -> type[SFTTrainer]:
    """`SFTTrainer` for code that builds one by itself: rows weigh so much in its loss.

    Args:
        weights: as `weigh`; of the rows of its `train_dataset`, in order.

    Raises:
        ConfigError: as `refuse_unweighable`; DataError: as `weigh`; both while it is built.
    """

    class WeighedTrainer(SFTTrainer):
        _candidates: Any = None

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            call = inspect.signature(super().__init__).bind(*args, **kwargs)
            self._candidates = call.arguments["train_dataset"]
            super().__init__(*args, **kwargs)
            refuse_unweighable(self)
            weigh(self, weights)

        def _prepare_dataset(self, *args: Any, **kwargs: Any) -> Any:
            prepare = super()._prepare_dataset
            call = inspect.signature(prepare).bind(*args, **kwargs)
            if self._candidates is None or call.arguments["dataset"] is not self._candidates:
                return prepare(*args, **kwargs)  # to evaluate on
            self._candidates = None
            return prepare_numbered(prepare, call)

    return WeighedTrainer


def _rows_in_step(trainer: Any, batches: Sequence[Mapping[str, Any]], device: Any) -> Any:
    """The rows of an optimizer step in all processes; a row that is cut counts by its parts."""
    rows = sum((batch[_SHARES].sum() for batch in batches), torch.zeros((), device=device))
    return trainer.accelerator.gather(rows).sum()


def _compute_loss(
    trainer: Any,
    model: Any,
    inputs: dict[str, Any],
    return_outputs: bool = False,
    num_items_in_batch: Any = None,
) -> Any:
    """`SFTTrainer.compute_loss`, weighted in training; `num_items_in_batch` are rows there."""
    weights = inputs.pop(_WEIGHTS, None)
    inputs.pop(_SHARES, None)
    if weights is None or not trainer.model.training:
        return SFTTrainer.compute_loss(trainer, model, inputs, return_outputs)
    # TRL would take fewer rows than 1 for 1: divided here. All weights are 0 if there is no row.
    weights = weights / num_items_in_batch.clamp(min=torch.finfo(weights.dtype).tiny)
    if not trainer.args.average_tokens_across_devices:
        # Then TRL does not make up for the mean that is taken over the processes.
        weights = weights * trainer.accelerator.num_processes

    def weighed(**arguments: Any) -> Any:
        outputs = model(**arguments)
        log_probs = outputs.log_probs  # may be on the device of the model's last layer
        outputs.log_probs = log_probs * weights[:, 1:].to(log_probs.device)
        return outputs

    return SFTTrainer.compute_loss(trainer, weighed, inputs, return_outputs, 1)
