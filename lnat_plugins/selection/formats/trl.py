"""TRL: the rows as `trl sft`, `trl dpo` and `trl kto` read them, and a config for each (trl 1.16).

A config holds only keys that TRL's parser knows: it hands others to the launcher, which refuses
them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import yaml

from lnat_plugins.selection.arrange import SEQUENTIAL, check_order
from lnat_plugins.selection.formats.base import (
    PARQUET,
    Chosen,
    Format,
    messages,
    need_conversations,
)
from lnat_plugins.selection.formats.columns import Columns, others, prompts, responses

SFT_CONFIG: Final = "sft.yaml"


def sft_yaml(chosen: Chosen) -> str:
    """The text of `sft.yaml`."""
    return config(chosen, SFT_CONFIG)


def config(chosen: Chosen, name: str) -> str:
    """The text of a config for one of TRL's commands, which the file is named after.

    The model goes beside the folder, not into it, because the folder is replaced when rows are
    chosen again. `sft.yaml` takes over the keys of a training config.

    Raises:
        ConfigError: a key with which rows would not be trained on in the selection's order.
    """
    command = name.removesuffix(".yaml")
    settings = dict(chosen.settings) if name == SFT_CONFIG else {}
    student = Path(chosen.selection.student)
    model = str(student.resolve()) if student.is_dir() else chosen.selection.student
    length = settings.pop("max_length", chosen.selection.settings.get("max_length"))
    output_dir = settings.pop("output_dir", f"{chosen.folder}-{command}")
    settings.pop("model_name_or_path", None)
    if chosen.selection.settings.get("order"):
        check_order(settings, name)
        settings |= SEQUENTIAL
    if any(row.response.turns for row in chosen.rows):
        # Only what the assistant wrote, turn by turn, as it was scored.
        settings = {**settings, "assistant_only_loss": True}
    text = json.dumps  # JSON's strings are YAML's, whatever is in them
    more = f"\n{yaml.safe_dump(settings, allow_unicode=True)}" if settings else ""
    reader = f"`trl {command}` trains on all of them alike"
    weights = f"# The rows differ in weight (column lnat_weight); {reader}."
    weighted = f"\n{weights}\n" if chosen.selection.weighted else ""
    return f"""\
# trl {command} --config {chosen.folder / name}
# Without a GPU, add --use_cpu. Any other setting of TRL's may be added here or on the command
# line. Write this file again (lnat select) if the folder moves: it names the rows by their full
# path.

# The student that the rows were chosen for. TRL loads it in float32 unless `dtype` says else.
model_name_or_path: {text(model)}
{weighted}
datasets:
  - path: parquet
    data_files: {text(str(chosen.folder / PARQUET))}
    split: train

# TRL cuts rows at 1024 tokens by default, and would cut long traces without a message.
max_length: {json.dumps(length)}

output_dir: {text(str(output_dir))}
{more}"""


def training(command: str) -> str:
    """How to train with one of TRL's commands, where the files were written and elsewhere."""
    return f"""\
Where this was written:

```bash
trl {command} --config {command}.yaml
```

Elsewhere, name this folder or its repository under `datasets:` in a config of TRL's, and set
`max_length`: by default TRL cuts rows at 1024 tokens.
"""


def prompt_completion(chosen: Chosen) -> Columns:
    """`prompt` and `completion`, provenance, and the rows' other columns."""
    rows, plain = chosen.rows, chosen.candidates.plain
    texts = prompts(rows, plain) | responses("completion", rows, plain)
    return {**texts, **chosen.provenance, **others(rows, plain)}


TRL: Final = Format(
    name="trl",
    trainer="TRL",
    holds="`prompt` and `completion`; TRL trains on the completion alone",
    training=lambda _: training("sft"),
    tables={PARQUET: prompt_completion},
    texts={SFT_CONFIG: sft_yaml},
    needs="",
    others=True,
    conversations=True,
    command=("sft", SFT_CONFIG),
    tags=("sft", "trl"),
)

TRL_MESSAGES: Final = Format(
    name="trl_messages",
    trainer="TRL",
    holds="`messages`; TRL trains on all turns by default",
    training=lambda _: training("sft"),
    tables={PARQUET: lambda chosen: {**messages(chosen), **others(chosen.rows, False)}},
    texts={SFT_CONFIG: sft_yaml},
    needs="",
    others=True,
    check=need_conversations,
    command=("sft", SFT_CONFIG),
    tags=("sft", "trl"),
)
