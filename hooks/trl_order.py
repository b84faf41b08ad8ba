"""Rows in the order of the selection, through TRL's packing and the Trainer's sampler.

The rows of an optimizer step are the next ones of the order, over all processes: with P processes
and batches of B rows, process p reads the batches p, p + P, p + 2P, … of the order. Every epoch
goes through the same order.
"""

from __future__ import annotations

from typing import Any, Final

import transformers
from transformers import Trainer, TrainingArguments

from lnat_plugins.errors import ConfigError
from lnat_plugins.selection.arrange import SEQUENTIAL, check_order

_READ: Final = ("shuffle_dataset", "packing", "packing_strategy", *SEQUENTIAL)


def refuse_reordering(args: TrainingArguments) -> None:
    """Refuse training arguments with which rows would not keep their order.

    Raises:
        ConfigError: names the argument, or the version of transformers that has no such sampler.
    """
    if not all(hasattr(args, name) for name in SEQUENTIAL):
        raise ConfigError(
            "`order` needs a transformers with `train_sampling_strategy`",
            found=f"transformers {transformers.__version__}",
            remedy="install a newer one, or remove `order`",
        )
    check_order({name: getattr(args, name) for name in _READ if hasattr(args, name)})


def keep_order(trainer: Any) -> None:
    """Make a trainer that has not begun read its rows one after the other.

    Raises:
        ConfigError: as `refuse_reordering`; or a trainer with a sampler of its own.
    """
    refuse_reordering(trainer.args)
    if type(trainer)._get_train_sampler is not Trainer._get_train_sampler:
        raise ConfigError(
            "this trainer samples its rows itself, so they would not keep the selection's `order`",
            found=f"{type(trainer).__name__}._get_train_sampler", remedy="remove `order`",
        )  # fmt: skip
    for name, value in SEQUENTIAL.items():
        setattr(trainer.args, name, value)
