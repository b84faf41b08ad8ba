"""LLaMA-Factory: the same rows for its two readers.

v0 (`llamafactory-cli train`, 0.9) reads `dataset_info.json` (`dataset_dir`): conversations are
"sharegpt" with role and content tags; plain text is "alpaca", which LLaMA-Factory puts into its
own `template` unless that is `empty`. It has no weights. v1 (`USE_V1=1`) reads messages whose
contents are lists of parts, each turn with a `loss_weight`. Source: `data/README.md` and
`data/converter.py` of LLaMA-Factory, `v1/utils/types.py`.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pyarrow as pa

from lnat_plugins.selection.formats.base import PARQUET, Chosen, Format, longest_row, messages
from lnat_plugins.selection.formats.columns import Columns, conversation
from lnat_plugins.selection.formats.trl import prompt_completion

DATASET_INFO: Final = "dataset_info.json"
V1: Final = "data/v1.jsonl"


def dataset_info(chosen: Chosen) -> str:
    """The text of `dataset_info.json`, where the set is called "lnat"."""
    entry: dict[str, Any] = {"file_name": PARQUET}
    if chosen.candidates.plain:
        columns = {"prompt": "prompt", "response": "completion"}
        entry |= {"formatting": "alpaca", "columns": columns}
    else:
        entry |= {"formatting": "sharegpt", "columns": {"messages": "messages"}}
        # All tags: one that is missing is none at all for LLaMA-Factory, not its default.
        entry["tags"] = {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
            "observation_tag": "tool",
            "function_tag": "function_call",
        }
    return json.dumps({"lnat": entry}, indent=2) + "\n"


def v0(chosen: Chosen) -> Columns:
    """`messages`, or prompt and completion of plain text."""
    return prompt_completion(chosen) if chosen.candidates.plain else messages(chosen)


def v1(chosen: Chosen) -> Columns:
    """`messages` with the row's weight at the response and 0 elsewhere; none for plain text."""
    if chosen.candidates.plain:
        return {}
    rows = []
    for row, weight in zip(chosen.rows, chosen.selection.row_weights, strict=True):
        turns = [
            {
                "role": turn["role"],
                "content": [{"type": "text", "value": turn["content"]}],
                "loss_weight": 0.0,
            }
            for turn in conversation(row)
        ]
        rows.append([*turns[:-1], turns[-1] | {"loss_weight": weight}])
    return {"messages": (pa.list_(pa.null()), rows), **chosen.provenance}


def remarks(chosen: Chosen) -> list[str]:
    """Only v1 has a place for weights and for what is not to be trained on."""
    lines = []
    if chosen.selection.weighted:
        where = "and v1 reads no plain text" if chosen.candidates.plain else f"v1 does ({V1})"
        lines.append(
            "The rows differ in weight (`lnat_weight`); LLaMA-Factory v0 reads no weights of rows, "
            f"and trains on all of them alike; {where}."
        )
    if any(turn["role"] == "assistant" for row in chosen.rows for turn in row.messages):
        lines.append(
            "Some prompts hold assistant turns: LLaMA-Factory v0 trains on them too, unless "
            "`mask_history: true`."
        )
    return lines


def training(chosen: Chosen) -> str:
    """Both readers; `template` depends on the student's family."""
    template = "empty" if chosen.candidates.plain else "TEMPLATE"
    found = f"""\
```bash
llamafactory-cli train --stage sft --do_train true --model_name_or_path {chosen.student} \\
    --dataset_dir . --dataset lnat --template {template} --output_dir out
```

{longest_row(chosen, "cutoff_len")}
"""
    if chosen.candidates.plain:
        return found
    return f"""\
{found}
LLaMA-Factory v1 (`USE_V1=1 llamafactory-cli sft CONFIG`) reads `{V1}`: name it as the config's
`train_dataset`. The response's `loss_weight` is `lnat_weight`.
"""


LLAMA_FACTORY: Final = Format(
    name="llama_factory",
    trainer="LLaMA-Factory 0.9",
    holds="`messages` (plain text: `prompt` and `completion`), named by `dataset_info.json`; in "
    f"`{V1}` the same with contents in parts and a `loss_weight` a turn",
    training=training,
    tables={PARQUET: v0, V1: v1},
    texts={DATASET_INFO: dataset_info},
    weight="v1: `messages[].loss_weight`; v0: nowhere",
    turns="alternating",
    remarks=remarks,
    tags=("sft", "llama-factory"),
)
