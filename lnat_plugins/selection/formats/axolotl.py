"""axolotl: `messages` in parquet, a config that names them, and a plugin for other configs.

A turn's `train` says whether it is trained on (`message_field_training`); it is a mask, so there
is no place for weights. The plugin trains any config of axolotl's on these rows, in place of its
`datasets:`. Source: axolotl 0.19, `docs/dataset-formats/conversation.qmd`,
`prompt_strategies/chat_template.py` and `integrations/base.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from lnat_plugins.selection.formats.base import (
    PARQUET,
    Chosen,
    Format,
    longest_row,
    need_conversations,
)
from lnat_plugins.selection.formats.columns import Columns, conversation, turns

CONFIG: Final = "axolotl.yaml"
PLUGIN: Final = "lnat_axolotl.py"

_ENTRY: Final = {
    "ds_type": "parquet",
    "type": "chat_template",
    "field_messages": "messages",
    "message_field_training": "train",
    "roles_to_train": [],
}


def columns(chosen: Chosen) -> Columns:
    """`messages`, each turn with `train`, and provenance."""
    rows = []
    for row in chosen.rows:
        *before, response = conversation(row)
        rows.append([*(turn | {"train": False} for turn in before), response | {"train": True}])
    return {"messages": turns(rows), **chosen.provenance}


def config(chosen: Chosen) -> str:
    """The text of `axolotl.yaml`: the model, the rows, and what must not be left to defaults."""
    student = Path(chosen.selection.student)
    model = str(student.resolve()) if student.is_dir() else chosen.selection.student
    length = chosen.longest or chosen.selection.settings.get("max_length")
    entry = "\n".join(f"    {key}: {json.dumps(value)}" for key, value in _ENTRY.items())
    limit = f"sequence_len: {length}" if length else "# sequence_len: (its tokenizer was not there)"
    return f"""\
# axolotl train {chosen.folder / CONFIG}
# Any other setting of axolotl's may be added here.

base_model: {json.dumps(model)}
chat_template: tokenizer_default

datasets:
  - path: {json.dumps(str(chosen.folder / PARQUET))}
{entry}

# The tokens of the longest row. axolotl's default is 512, and it would drop longer rows.
{limit}
excess_length_strategy: raise

# What is prepared is kept by the path of the data, not by what is in it.
dataset_prepared_path: {json.dumps(f"{chosen.folder}-axolotl/prepared")}
output_dir: {json.dumps(f"{chosen.folder}-axolotl")}
micro_batch_size: 1
gradient_accumulation_steps: 8
num_epochs: 1
optimizer: adamw_torch
learning_rate: 1.0e-05
"""


_PLUGIN_TEXT: Final = f'''\
"""An axolotl plugin: train on the rows beside this file, in place of the config's `datasets:`.

    PYTHONPATH=FOLDER axolotl train CONFIG

where FOLDER holds this file, and CONFIG `plugins: [lnat_axolotl.ChosenRows]`.
"""

from pathlib import Path

from axolotl.integrations.base import BasePlugin

ROWS = Path(__file__).resolve().parent / {PARQUET!r}


class ChosenRows(BasePlugin):
    """Reads `messages` of the parquet file; only turns with `train` are trained on."""

    def load_datasets(self, cfg, preprocess=False):
        from axolotl.common.datasets import load_datasets
        from axolotl.utils.dict import DictDefault

        entry = {_ENTRY!r}
        cfg["datasets"] = [DictDefault({{"path": str(ROWS), **entry}})]
        return load_datasets(cfg=cfg)
'''


def plugin(chosen: Chosen) -> str:
    """The text of the module; it imports nothing but axolotl."""
    return _PLUGIN_TEXT


def training(chosen: Chosen) -> str:
    """With the config, or with another one."""
    return f"""\
Where this was written:

```bash
axolotl train {CONFIG}
```

Any other config of axolotl's trains on these rows, wherever they lie, with `plugins:
[lnat_axolotl.ChosenRows]` and this folder on `PYTHONPATH`.

{longest_row(chosen, "sequence_len")}
"""


AXOLOTL: Final = Format(
    name="axolotl",
    trainer="axolotl 0.19",
    holds="`messages`, each turn with `train`: true for the response alone",
    training=training,
    tables={PARQUET: columns},
    texts={CONFIG: config, PLUGIN: plugin},
    turns="simple",
    check=need_conversations,
    tags=("sft", "axolotl"),
)
