"""Plain SFT by TRL in this process: what `trl sft --config FILE` runs, without a new process."""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser
from trl.scripts.sft import main

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import read_yaml
from lnat_plugins.hooks.trl_config import without_own_warnings

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


def train(config: Path) -> None:
    """Train as the config says; the model lies in its `output_dir` afterwards.

    A study trains hundreds of small students: to start a process for each would take longer.

    Args:
        config: TRL's keys, such as the `sft.yaml` of a training set.

    Raises:
        ConfigError: TRL refuses the settings, or the model cannot be saved.
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
    with saving(str(keys.get("output_dir", config.parent))):
        main(*parsed)
