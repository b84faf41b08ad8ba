"""The files that describe a training set: README card, `sft.yaml`, `dataset_info.json`.

`sft.yaml` is for `trl sft --config` (trl 1.16) and holds only keys that TRL's parser knows: it
hands others to the launcher, which refuses them. `dataset_info.json` is for LLaMA-Factory
(`dataset_dir`): conversations are "sharegpt" with role and content tags; plain text is "alpaca",
which LLaMA-Factory puts into its own `template` unless that is `empty`. Source: data/README.md of
LLaMA-Factory and its `data/converter.py`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from lnat_plugins import __version__
from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.formatting import markdown_table, number, plural
from lnat_plugins.selection.arrange import SEQUENTIAL, check_order
from lnat_plugins.selection.result import Selection
from lnat_plugins.teacher_set.prompts import Candidates


@dataclass(frozen=True)
class Provenance:
    """Where chosen rows and their scores come from.

    Attributes:
        task: name of the teacher set or of the data set.
        files: the files read, as they were given.
        scoring: how the rows were scored: settings, their fingerprint, splitter, engine paths.
        versions: package -> version that scored; several versions joined by ", ".
    """

    task: str = ""
    files: tuple[str, ...] = ()
    scoring: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def counts(selection: Selection) -> str:
    """Two tables in markdown: rows chosen by teacher, and rows dropped by reason and teacher.

    A row that was drawn several times counts as often. Lines below them say what a run with a
    budget read, count the degenerate rows that were chosen, if there are any, and warn.
    Means are over rows that have a score: those that passed the filters before it. The second
    table is missing if all were chosen.
    """
    scored = selection.metric is not None
    headers = ["Teacher", "Candidates", "Chosen", "Share"]
    headers += ["Mean of chosen", "Mean of eligible"] if scored else []
    of_teacher: dict[str, list[int]] = {}
    for index, teacher in enumerate(selection.teachers):
        of_teacher.setdefault(teacher, []).append(index)
    times = Counter(selection.rows)
    rows = []
    for name, indices in (*of_teacher.items(), ("all", range(len(selection.teachers)))):
        chosen = [index for index in indices for _ in range(times[index])]
        share = len(chosen) / max(1, times.total())
        means = [_mean(selection, chosen), _mean(selection, indices)] if scored else []
        rows.append([name, str(len(indices)), str(len(chosen)), number(share, 3), *means])
    tables = [markdown_table(headers, rows, left=1)]
    if selection.reasons:
        dropped = selection.dropped
        sums: Counter[str] = Counter()
        for by_teacher in dropped.values():
            sums.update(by_teacher)
        rows = [
            [reason, *(str(found.get(name, 0)) for name in of_teacher), str(sum(found.values()))]
            for reason, found in (*dropped.items(), ("all", sums))
        ]
        tables.append(markdown_table(["Left out", *of_teacher, "all"], rows, left=1))
    if choice := selection.settings.get("choice"):
        tables.append(f"{choice['found']}.")
    if times.total() > len(times):
        tables.append(
            f"Drawn by weight: {times.total()} rows, {len(times)} of them distinct; the most "
            f"repeated one stands {plural(max(times.values()), 'time')}."
        )
    if selection.degenerate:
        found = ", ".join(
            f"{teacher} ({', '.join(f'{kind} {n}' for kind, n in kinds.items())})"
            for teacher, kinds in selection.degenerate.items()
        )
        tables.append(f"Degenerate among the chosen: {found}. Look at them before training.")
    tables += [f"Warning: {warning}" for warning in selection.warnings]
    for note, count in selection.training_notes.items():
        tables.append(f"In training, {count} of {len(times)} chosen rows: {note}.")
    return "\n\n".join(tables) + "\n"


def _mean(selection: Selection, indices: Sequence[int]) -> str:
    scores = [s for index in indices if not math.isnan(s := selection.scores[index])]
    return number(math.fsum(scores) / len(scores) if scores else math.nan)


def totals(selection: Selection) -> str:
    """One line: "prompts: 3 of 4, responses: 3 of 9, ties: 0"."""
    prompts = {selection.prompts[index] for index in selection.indices}
    return (
        f"prompts: {len(prompts)} of {len(set(selection.prompts))}, responses: "
        f"{len(selection.indices)} of {len(selection.scores)}, ties: {selection.ties}"
    )


SFT_CONFIG: Final = "sft.yaml"


def sft_yaml(
    folder: Path, data: Path, selection: Selection, sft_settings: Mapping[str, Any]
) -> str:
    """The text of `sft.yaml`.

    Args:
        folder: where the training set will be; the model goes beside it, not into it, because
            the folder is replaced when rows are chosen again.
        data: the parquet file's path there.
        selection: names the student and may hold a `max_length`.
        sft_settings: keys of TRL's, which override what is written here.

    Raises:
        ConfigError: a key with which rows would not be trained on in the selection's order.
    """
    settings = dict(sft_settings)
    student = Path(selection.student)
    model = str(student.resolve()) if student.is_dir() else selection.student
    length = settings.pop("max_length", selection.settings.get("max_length"))
    output_dir = settings.pop("output_dir", f"{folder}-sft")
    settings.pop("model_name_or_path", None)
    if selection.settings.get("order"):
        check_order(settings, SFT_CONFIG)
        settings |= SEQUENTIAL
    text = json.dumps  # JSON's strings are YAML's, whatever is in them
    others = f"\n{yaml.safe_dump(settings, allow_unicode=True)}" if settings else ""
    weights = (
        "# The rows differ in weight (column lnat_weight); `trl sft` trains on all of them alike."
    )
    weighted = f"\n{weights}\n" if selection.weighted else ""
    return f"""\
# trl sft --config {folder / SFT_CONFIG}
# Without a GPU, add --use_cpu. Any other setting of TRL's may be added here or on the command
# line. Write this file again (lnat select) if the folder moves: it names the rows by their full
# path.

# The student that the rows were chosen for. TRL loads it in float32 unless `dtype` says else.
model_name_or_path: {text(model)}
{weighted}
datasets:
  - path: parquet
    data_files: {text(str(data))}
    split: train

# TRL cuts rows at 1024 tokens by default, and would cut long traces without a message.
max_length: {json.dumps(length)}

output_dir: {text(str(output_dir))}
{others}"""


DATASET_INFO: Final = "dataset_info.json"


def check_llama_factory(candidates: Candidates, selection: Selection, format: str) -> None:
    """Refuse what LLaMA-Factory cannot read, or would skip without failing.

    Raises:
        ConfigError: conversations in the format prompt_completion.
        DataError: a conversation whose turns do not alternate, or that holds more than roles and
            contents.
    """
    if candidates.plain:
        return
    if format != "messages":
        what = "LLaMA-Factory reads no conversations in `prompt` and `completion`"
        raise ConfigError(what, found=format, remedy="give --format messages")
    for index in selection.indices:
        row = candidates.rows[index]
        more = {key for turn in (*row.messages, row.response.turn or {}) for key in turn}
        more -= {"role", "content"}
        if row.response.extra.get("tools"):
            more.add("tools")
        if more:
            raise DataError(
                "LLaMA-Factory would not read all of this conversation as it was scored",
                where=row.where, found=sorted(more), remedy="leave out --llama_factory",
            )  # fmt: skip
        roles = [turn["role"] for turn in row.messages]
        turns = roles[1:] if roles[0] == "system" else roles
        users, assistants = set(turns[::2]), set(turns[1::2])
        alternate = users <= {"user", "tool"} and assistants <= {"assistant"}
        if not alternate or len(turns) % 2 == 0:
            raise DataError(
                "LLaMA-Factory would skip this conversation: its turns do not alternate",
                where=row.where, found=roles,
                remedy="join its turns, or leave out --llama_factory",
            )  # fmt: skip


def dataset_info(plain: bool, data: str) -> str:
    """The text of `dataset_info.json` beside the parquet file `data`; the set is called "lnat"."""
    entry: dict[str, Any] = {"file_name": data}
    if plain:
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


_FORMATS: Final = {
    "prompt_completion": "`prompt` and `completion`; TRL trains on the completion alone",
    "messages": "`messages`; TRL trains on all turns by default",
}


def card(
    selection: Selection, provenance: Provenance, format: str, *, plain: bool, data: str
) -> str:
    """The text of `README.md`: the training set's card, for people and for the Hub's viewer.

    `format` is one of `training_set.FORMATS`; `data` the parquet file, relative to this one.
    """
    path = Path(selection.student)
    # A path's last part: where a model lay on one machine is of no use on another.
    student = path.name if path.is_absolute() or path.is_dir() else selection.student
    front = {
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": data}]}],
        "task_categories": ["text-generation"],
        "tags": ["lnat-plugins", "reasoning", "distillation", "sft", "trl"],
    }
    direction = "higher" if selection.higher_is_better else "lower"
    facts = {
        "student": student,
        "strategy": selection.strategy,
        "metric": selection.metric and f"{selection.metric}, {direction} is better",
        "window": selection.window,
        "settings": _json(selection.settings),
        "scoring": provenance.scoring and _json(provenance.scoring),
        "scores from": ", ".join(Path(file).name for file in provenance.files),
        "scored with": ", ".join(map(" ".join, provenance.versions.items())),
        "chosen with": f"lnat_plugins {__version__}",
        "candidates": f"fingerprint {selection.pool}",
    }
    settings = "".join(f"- {name}: {fact}\n" for name, fact in facts.items() if fact)
    weights = "The rows differ in weight (`lnat_weight`); `trl sft` trains on all of them alike."
    order = "The rows stand in the order of training: set `train_sampling_strategy: sequential`."
    notes = f"\n{weights}\n" if selection.weighted else ""
    notes += f"\n{order}\n" if selection.settings.get("order") else ""
    return f"""\
---
{yaml.safe_dump(front, sort_keys=False)}---

# Reasoning traces chosen for {student}

`lnat-plugins` chose these rows of the teacher set {provenance.task or "(unnamed)"} for training
{student} ({totals(selection)}).

{counts(selection)}
## How they were chosen

{settings}
`selection.json` holds the reason for every row that was left out, and the score of each row.

## Columns

{_FORMATS[format]}. The texts are {"plain strings" if plain else "conversations"}.

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
{notes}"""


def _json(value: Mapping[str, Any]) -> str:
    return f"`{json.dumps(dict(value), ensure_ascii=False, default=str)}`"
