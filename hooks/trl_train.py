"""Plain SFT by TRL in this process: what `trl sft --config FILE` runs, without a new process."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser
from trl.scripts.sft import main

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import read_yaml
from lnat_plugins.hooks.trl_config import without_own_warnings

_GROUPS = (ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig)


def train(config: Path) -> None:
    """Train as the config says; the model lies in its `output_dir` afterwards.

    A study trains hundreds of small students: to start a process for each would take longer.

    Args:
        config: TRL's keys, such as the `sft.yaml` of a training set.

    Raises:
        ConfigError: TRL refuses the settings.
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
    main(*parsed)
