"""Plain SFT by TRL in this process: what `trl sft --config FILE` runs, without a new process."""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from unittest import mock

import trl
from safetensors import SafetensorError
from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser
from trl.scripts.sft import main

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import read_yaml
from lnat_plugins.hooks.trl_config import without_own_warnings
from lnat_plugins.hooks.trl_weights import weighed_trainer

_GROUPS = (ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig)


_NOT_WRITTEN: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)


@contextlib.contextmanager
def saving(folder: str) -> Iterator[None]:
    """Raises ConfigError where a model cannot be saved, as on a full disk."""
    try:
        yield
    except (OSError, SafetensorError) as cause:
        is_disk = "I/O error" in str(cause) or getattr(cause, "errno", None) in _NOT_WRITTEN
        if not is_disk:
            raise
        raise ConfigError(
            "the model cannot be saved", where=folder, found=str(cause),
            remedy="make room on the disk, or name another folder",
        ) from cause  # fmt: skip


def train(config: Path, weights: Sequence[float] | None = None) -> None:
    """Train as the config says; the model lies in its `output_dir` afterwards.

    A study trains hundreds of small students: to start a process for each would take longer.

    Args:
        config: TRL's keys, such as the `sft.yaml` of a training set.
        weights: of the training set's rows, in order, for the loss; None = TRL's own loss.

    Raises:
        ConfigError: TRL refuses the settings, its loss with them takes no weights, or the model
            cannot be saved.
        DataError: no row that is trained on has a weight above 0.
    """
    printed = io.StringIO()
    try:
        keys = read_yaml(config)
        with contextlib.redirect_stderr(printed), without_own_warnings(keys):
            parsed = TrlParser(_GROUPS).parse_args_and_config(["--config", str(config)])
    # TRL and transformers check their arguments with these; wrong types end argparse.
    except (ValueError, TypeError, ImportError, SystemExit) as cause:
        by_argparse = isinstance(cause, SystemExit)
        lines = (printed.getvalue() if by_argparse else str(cause)).strip().splitlines()
        what = lines[-1 if by_argparse else 0].rpartition("error: ")[2].rstrip(".")
        raise ConfigError(
            f"TRL refuses the settings: {what}",
            where=str(config), remedy="fix `sft:` in the study; see TRL's SFTConfig",
        ) from cause  # fmt: skip
    trainer = trl.SFTTrainer if weights is None else weighed_trainer(weights)
    # The script takes the class from there when it runs.
    with (
        saving(str(keys.get("output_dir", config.parent))),
        mock.patch.object(trl, "SFTTrainer", trainer),
    ):
        main(*parsed)
