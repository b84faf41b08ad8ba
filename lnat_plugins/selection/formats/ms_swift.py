"""ms-swift: JSON lines with `messages`, the teacher as `channel`, weights as `loss_scale`.

`loss_scale` of a turn counts only where the template is not binary (`--is_binary_loss_scale
false`), and so stands only where weights differ. An earlier assistant turn has `loss: false`,
since only the response was scored. `channel` gives a curve of the loss for each value with
`--enable_channel_loss true`. Source: ms-swift 4.6, `docs/source_en/Customization/
Custom-dataset.md`, `swift/dataset/preprocessor/core.py` and `swift/loss_scale/base.py`.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from lnat_plugins.selection.formats.base import (
    JSON_LINES,
    Chosen,
    Format,
    longest_row,
    need_conversations,
)
from lnat_plugins.selection.formats.columns import Columns, conversation


def columns(chosen: Chosen) -> Columns:
    """`messages`, `channel` and provenance."""
    rows = []
    for row, weight in zip(chosen.rows, chosen.selection.row_weights, strict=True):
        *turns, response = conversation(row)
        before: list[dict[str, Any]] = [
            turn | {"loss": False} if turn["role"] == "assistant" else turn for turn in turns
        ]
        scale = {"loss_scale": weight} if chosen.selection.weighted else {}
        rows.append([*before, response | scale])
    teachers = [row.teacher for row in chosen.rows]
    return {
        "messages": (pa.list_(pa.null()), rows),
        "channel": (pa.string(), teachers),
        **chosen.provenance,
    }


def remarks(chosen: Chosen) -> list[str]:
    """The weights need a switch."""
    if not chosen.selection.weighted:
        return []
    return [
        "The rows differ in weight (`loss_scale`); ms-swift takes them as 0 or 1 without "
        "`--is_binary_loss_scale false`."
    ]


def training(chosen: Chosen) -> str:
    """`swift sft` on the file."""
    switch = " \\\n    --is_binary_loss_scale false" if chosen.selection.weighted else ""
    return f"""\
```bash
swift sft --model {chosen.student} --dataset {JSON_LINES} --enable_channel_loss true{switch}
```

{longest_row(chosen, "--max_length")} `channel` is the teacher: ms-swift draws a curve of
the loss for each.
"""


MS_SWIFT: Final = Format(
    name="ms_swift",
    trainer="ms-swift 4.6",
    holds="`messages`, whose last turn is the response (with `loss_scale`, its weight, where the "
    "rows differ in weight), and `channel`, the teacher",
    training=training,
    tables={JSON_LINES: columns},
    weight="`messages[].loss_scale`, with `--is_binary_loss_scale false`",
    turns="alternating",
    check=need_conversations,
    remarks=remarks,
    tags=("sft", "ms-swift"),
)
