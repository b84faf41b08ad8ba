"""`sft.yaml`: the training set as `trl sft --config` takes it (trl 1.16).

Knows nothing of rows. Only keys that TRL's parser knows: it hands others to the launcher, which
refuses them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from lnat_plugins.selection import Selection

SFT_CONFIG: Final = "sft.yaml"


def sft_yaml(
    folder: Path, data: Path, selection: Selection, training: Mapping[str, Any] | None = None
) -> str:
    """The file's text.

    Args:
        folder: where the training set will stand; the model goes beside it, not into it, because
            the folder is replaced when rows are chosen again.
        data: the parquet file's path there.
        selection: names the student and may hold a `max_length`.
        training: keys of TRL's that are settled already; they win over what is written here.
    """
    settled = dict(training or {})
    student = Path(selection.student)
    model = str(student.resolve()) if student.is_dir() else selection.student
    length = settled.pop("max_length", selection.settings.get("max_length"))
    output_dir = settled.pop("output_dir", f"{folder}-sft")
    settled.pop("model_name_or_path", None)
    others = f"\n{yaml.safe_dump(settled, allow_unicode=True)}" if settled else ""
    weighted = (
        "\n# The rows differ in weight (column lnat_weight); TRL trains on all of them alike.\n"
        if selection.weighted
        else ""
    )
    return f"""\
# trl sft --config {folder / SFT_CONFIG}
# Without a GPU, add --use_cpu. Any other setting of TRL's may be added here or on the command
# line. Write this file again (lnat select) if the folder moves: it names the rows by their full
# path.

# The student that the rows were chosen for. TRL loads it in float32 unless `dtype` says else.
model_name_or_path: {_text(model)}
{weighted}
datasets:
  - path: parquet
    data_files: {_text(str(data))}
    split: train

# TRL cuts rows at 1024 tokens unless told otherwise, and would cut long traces without a word.
max_length: {"null" if length is None else json.dumps(length)}

output_dir: {_text(str(output_dir))}
{others}"""


def _text(value: str) -> str:
    """A string as YAML reads it back, whatever is in it: JSON's strings are YAML's."""
    return json.dumps(value)
