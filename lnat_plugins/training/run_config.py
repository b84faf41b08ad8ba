"""A training config: TRL's own SFT arguments, and the `selection:` block beside them.

Knows how `trl sft` reads its arguments; loads no data and no model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser

from lnat_plugins.choosing import Chooser, read_block
from lnat_plugins.errors import ConfigError, nearest
from lnat_plugins.yaml_file import read_yaml

_GROUPS = (ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig)
_ADD = "add `selection: {strategy: best}`, or run `trl sft` to train on all rows"


@dataclass(frozen=True)
class RunConfig:
    """What one training run is told: TRL's four groups of arguments, and the choice.

    Attributes:
        script, training, model, mixture: as `trl sft` parses them.
        keys: the config without the selection block, as written.
        chooser: the selection block; files named in it start from the config's folder.
        path: the config file.
    """

    script: Any
    training: Any
    model: Any
    mixture: Any
    keys: Mapping[str, Any]
    chooser: Chooser
    path: Path


def read_run_config(arguments: Sequence[str], leave_out: Collection[str] = ()) -> RunConfig:
    """Parse `--config FILE` and what stands beside it, which wins over the file, as in TRL.

    Args:
        arguments: the command line.
        leave_out: keys of the file that are passed over.

    Raises:
        ConfigError: no file, no selection block, an argument that neither TRL nor the block
            knows, or a value that cannot hold. Wrong types on the command line end in argparse's
            own SystemExit.
    """
    path, others = _take_config(arguments)
    config = read_yaml(path)
    block = config.pop("selection", None)
    written = dict(config)
    if block is None:
        raise ConfigError("the config has no `selection:` block", where=str(path), remedy=_ADD)
    _refuse_unknown(config, path)
    config = {key: value for key, value in config.items() if key not in leave_out}
    chooser = read_block(block, source=f"{path}: selection", base_dir=path.resolve().parent)
    parser = TrlParser(_GROUPS)
    with tempfile.TemporaryDirectory(prefix="lnat-") as folder:
        rest = Path(folder) / path.name
        rest.write_text(yaml.safe_dump(config), encoding="utf-8")
        try:
            groups = parser.parse_args_and_config(["--config", str(rest), *others])
        except (ValueError, TypeError, ImportError) as cause:
            # TRL and transformers check their arguments with these.
            raise ConfigError(
                f"TRL refuses the arguments: {str(cause).splitlines()[0].rstrip('.')}",
                where=str(path),
                remedy="mend the value; see the documentation of TRL's SFTConfig",
            ) from cause
    script, training, model, mixture = groups
    if not model.model_name_or_path:
        raise ConfigError(
            "no student is named", where=str(path), remedy="write `model_name_or_path: ...`"
        )
    return RunConfig(script, training, model, mixture, written, chooser, path)


def _refuse_unknown(config: Mapping[str, Any], path: Path) -> None:
    known = {field.name for group in _GROUPS for field in fields(group)} | {"env"}
    for key in config:
        if key not in known:
            raise ConfigError(
                "neither TRL nor the selection knows this key",
                where=str(path),
                found=key,
                remedy=nearest(key, [*known, "selection"])
                + "only keys of `trl sft` may stand beside `selection:`",
            )


def _take_config(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    others = [part for one in arguments for part in _split(one)]
    if others.count("--config") != 1 or others[-1] == "--config":
        raise ConfigError(
            "one `--config FILE` is needed",
            found=" ".join(arguments) or "no argument",
            remedy="give the YAML that holds TRL's arguments and a `selection:` block",
        )
    place = others.index("--config")
    return Path(others[place + 1]).expanduser(), others[:place] + others[place + 2 :]


def _split(argument: str) -> list[str]:
    name, equals, value = argument.partition("=")
    return [name, value] if equals and name == "--config" else [argument]
