"""`README.md`: the training set's card, for people and for the Hub's viewer.

Knows nothing of how rows were chosen beyond what the selection says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from lnat_plugins import __version__
from lnat_plugins.selection import Selection
from lnat_plugins.training_set.counts import counts, totals
from lnat_plugins.training_set.origin import Origin

_FORMS = {
    "prompt_completion": "`prompt` and `completion`; TRL trains on the completion alone",
    "messages": "`messages`; TRL trains on all turns unless told otherwise",
}


def card(selection: Selection, origin: Origin, form: str, *, plain: bool, data: str) -> str:
    """The file's text.

    Args:
        selection: what was chosen.
        origin: where from.
        form: one of `columns.FORMS`.
        plain: whether prompts are plain text.
        data: the parquet file, relative to this one.
    """
    student = _short(selection.student)
    front = {
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": data}]},
        ],
        "task_categories": ["text-generation"],
        "tags": ["lnat-plugins", "reasoning", "distillation", "sft", "trl"],
    }
    return f"""\
---
{yaml.safe_dump(front, sort_keys=False)}---

# Reasoning traces chosen for {student}

`lnat-plugins` chose these rows of the teacher set {origin.task or "(unnamed)"} for training
{student} ({totals(selection)}).

{counts(selection)}
## How they were chosen

{_settings(selection, origin)}
`selection.json` holds the reason for every row that was left out, and the score of each row.

## Columns

{_FORMS[form]}. The texts are {"plain strings" if plain else "conversations"}.

`lnat_teacher`, `lnat_sample` and `lnat_prompt_id` say whose response a row is; `lnat_score` is
its score (null if undefined), `lnat_weight` its weight, `lnat_correct` whether it is correct (null
if unknown), `lnat_index` its place among the candidates. The other columns are the rows' own; one
whose name TRL would take for its own is called `row_<name>`, and one whose values have no type in
common holds JSON text.

## Training

Where this was written:

```bash
trl sft --config sft.yaml
```

Elsewhere, name this folder or its repository under `datasets:` in a config of TRL's, and set
`max_length`: by default TRL cuts rows at 1024 tokens.
{_weights(selection)}"""


def _settings(selection: Selection, origin: Origin) -> str:
    files = ", ".join(Path(file).name for file in origin.files)
    metric = selection.metric and (
        f"{selection.metric}, {'higher' if selection.higher_is_better else 'lower'} is better"
    )
    facts: dict[str, Any] = {
        "student": _short(selection.student),
        "strategy": selection.strategy,
        "metric": metric,
        "window": selection.window,
        "settings": _json(selection.settings),
        "scoring": _json(origin.scoring) if origin.scoring else None,
        "scores from": files,
        "scored with": ", ".join(f"{name} {version}" for name, version in origin.versions.items()),
        "chosen with": f"lnat_plugins {__version__}",
        "candidates": f"fingerprint {selection.pool}",
    }
    return "".join(f"- {name}: {fact}\n" for name, fact in facts.items() if fact)


def _json(value: Any) -> str:
    return f"`{json.dumps(dict(value), ensure_ascii=False, default=str)}`"


def _short(student: str) -> str:
    """A path's last part: where a model lay on one machine is of no use on another."""
    path = Path(student)
    return path.name if path.is_absolute() or path.is_dir() else student


def _weights(selection: Selection) -> str:
    if not selection.weighted:
        return ""
    return "\nThe rows differ in weight (`lnat_weight`); TRL trains on all of them alike.\n"
