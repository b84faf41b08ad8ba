"""Plain SFT by TRL in this process: what `trl sft --config FILE` runs, without a new process."""

from __future__ import annotations

from pathlib import Path

from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser
from trl.scripts.sft import main

from lnat_plugins.errors import ConfigError

_GROUPS = (ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig)


def train(config: Path) -> None:
    """Train as the config says; the model lies in its `output_dir` afterwards.

    Raises:
        ConfigError: TRL refuses the settings.
    """
    try:
        parsed = TrlParser(_GROUPS).parse_args_and_config(["--config", str(config)])
    except (ValueError, TypeError, ImportError) as cause:
        # TRL and transformers check their arguments with these.
        raise ConfigError(
            f"TRL refuses the settings: {str(cause).splitlines()[0].rstrip('.')}",
            where=str(config), remedy="fix `sft:` in the study; see TRL's SFTConfig",
        ) from cause  # fmt: skip
    main(*parsed)
