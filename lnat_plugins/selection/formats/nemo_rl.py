"""NeMo RL: JSON lines with `messages`, read as `openai_format`, and a `loss_multiplier` a row.

Its own `sft_processor` gives every row the multiplier 1 (0 where a row is too long), whatever the
file says: weights need a processor that reads them. Source: NeMo RL's `docs/guides/sft.md`,
`nemo_rl/data/processors.py`, `nemo_rl/data/datasets/response_datasets/oai_format_dataset.py`.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from lnat_plugins.selection.formats.base import (
    JSON_LINES,
    Chosen,
    Format,
    longest_row,
    messages,
    need_conversations,
)
from lnat_plugins.selection.formats.columns import Columns


def columns(chosen: Chosen) -> Columns:
    """`messages`, `loss_multiplier` and provenance."""
    multiplier = {"loss_multiplier": (pa.float64(), chosen.selection.row_weights)}
    return {**messages(chosen), **multiplier}


def remarks(chosen: Chosen) -> list[str]:
    """The weights need a processor."""
    if not chosen.selection.weighted:
        return []
    return [
        "The rows differ in weight (`loss_multiplier`); NeMo RL's own sft_processor does not read "
        "it, and trains on all of them alike, unless a processor of yours does."
    ]


def training(chosen: Chosen) -> str:
    """The keys of its config, and what weights need."""
    weights = """\

A processor that reads the weights, to be registered before `run_sft` loads the data, and named as
`data.train.processor`:

```python
from nemo_rl.data.processors import register_processor, sft_processor


def weighted_sft_processor(datum, *args, **kwargs):
    found = sft_processor(datum, *args, **kwargs)
    found["loss_multiplier"] *= datum["loss_multiplier"]
    return found


register_processor("weighted_sft_processor", weighted_sft_processor)
```
"""
    return f"""\
```bash
uv run examples/run_sft.py policy.model_name={chosen.student} \\
    data.train.dataset_name=openai_format data.train.data_path=$PWD/{JSON_LINES}
```

{longest_row(chosen, "policy.max_total_sequence_length")} A longer row is cut, and left out of the
loss, without a message.
{weights if chosen.selection.weighted else ""}"""


NEMO_RL: Final = Format(
    name="nemo_rl",
    trainer="NeMo RL 0.8",
    holds="`messages`, whose last turn is the response, and `loss_multiplier`, the row's weight",
    training=training,
    tables={JSON_LINES: columns},
    weight="`loss_multiplier`, by a processor of yours",
    earlier="trained",
    turns="simple",
    check=need_conversations,
    remarks=remarks,
    tags=("sft", "nemo-rl"),
)
