"""Trainers that read `messages` and nothing more: verl, Open Instruct, Unsloth.

None has a place for weights. Sources: verl 0.9, `verl/utils/dataset/multiturn_sft_dataset.py` and
`verl/trainer/config/sft_trainer_engine.yaml`; Open Instruct, `docs/algorithms/dataset.md` and
`open_instruct/dataset_transformation.py`; Unsloth 2026.10, `unsloth/models/rl_replacements.py`.
"""

from __future__ import annotations

from typing import Final

from lnat_plugins.selection.formats.base import (
    JSON_LINES,
    PARQUET,
    Chosen,
    Format,
    longest_row,
    messages,
    need_conversations,
)

_HOLDS: Final = "`messages`, whose last turn is the response"


def _verl(chosen: Chosen) -> str:
    limit = "LONGEST" if chosen.longest is None else chosen.longest
    return f"""\
```bash
torchrun --nproc_per_node 1 -m verl.trainer.sft_trainer model.path={chosen.student} \\
    data.train_files={PARQUET} data.max_length={limit}
```

{longest_row(chosen, "data.max_length")} With `data.truncation: error`, its default, verl stops at
the first row that is longer.
"""


def _open_instruct(chosen: Chosen) -> str:
    return f"""\
```bash
python open_instruct/finetune.py --model_name_or_path {chosen.student} \\
    --dataset_mixer_list {JSON_LINES} 1.0
```

{longest_row(chosen, "--max_seq_length")} Open Instruct cuts longer rows.
"""


def _unsloth(chosen: Chosen) -> str:
    return f"""\
Unsloth rewrites how TRL's trainer prepares data, so give it texts, and mask the prompts after the
trainer is built (`unsloth.chat_templates.train_on_responses_only`):

```python
from datasets import load_dataset

rows = load_dataset("json", data_files="{JSON_LINES}", split="train")
rows = rows.map(
    lambda row: {{"text": tokenizer.apply_chat_template(row["messages"], tokenize=False)}}
)
```

{longest_row(chosen, "max_seq_length")}
"""


VERL: Final = Format(
    name="verl",
    trainer="verl 0.9",
    holds=_HOLDS,
    training=_verl,
    tables={PARQUET: messages},
    earlier="trained",
    turns="simple",
    check=need_conversations,
    tags=("sft", "verl"),
)

OPEN_INSTRUCT: Final = Format(
    name="open_instruct",
    trainer="Open Instruct",
    holds=_HOLDS,
    training=_open_instruct,
    tables={JSON_LINES: messages},
    earlier="trained",
    turns="simple",
    check=need_conversations,
    tags=("sft", "open-instruct"),
)

UNSLOTH: Final = Format(
    name="unsloth",
    trainer="Unsloth 2026.10",
    holds=_HOLDS,
    training=_unsloth,
    tables={JSON_LINES: messages},
    earlier="trained",
    turns="simple",
    check=need_conversations,
    tags=("sft", "unsloth"),
)
