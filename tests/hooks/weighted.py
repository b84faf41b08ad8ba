"""Weighted training by hand: plain torch, one sequence at a time, no Trainer and no padding.

A sequence is what one forward reads: a row, or several that are packed. A row's tokens that are
trained on count the same whatever sequence and step they are in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy
from trl import pack_dataset

from lnat_plugins.hooks.trl_sft import NaturalSFTTrainer
from tests.helpers_students import student

from .builders import candidates, natural, padded

WEIGHTED: Final = {"strategy": "weighted", "budget": 2, "windows": [1]}
STEPS: Final = 10
SETTINGS: Final[Mapping[str, Any]] = {
    "max_steps": STEPS,
    "lr_scheduler_type": "constant",
    "max_grad_norm": 0.0,
    "train_sampling_strategy": "sequential",
}


class Tokens(NamedTuple):
    """Token ids, labels (-100: not trained on), and each token's row."""

    ids: list[int]
    labels: list[int]
    rows: list[int]


def trainer(folder: Path, format: str = "messages", **changes: Any) -> NaturalSFTTrainer:
    """A trainer of five prompts' rows, two of each by `weighted`, whose rows keep their order."""
    sft = {**SETTINGS, **changes.pop("sft", {})}
    block = WEIGHTED | changes.pop("selection", {})
    options = {"train_dataset": candidates(5, format)} | changes
    return natural(folder, block, sft=sft, **options)


def check(trained: Any, expected: tuple[list[float], list[torch.Tensor]]) -> None:
    """The steps' losses and the parameters are those of `by_hand`, but for rounding in float32."""
    found, parameters = expected
    assert losses(trained) == pytest.approx(found, rel=1e-6, abs=0)
    for mine, other in zip(trained.model.parameters(), parameters, strict=True):
        torch.testing.assert_close(mine.detach(), other, atol=1e-4, rtol=1e-4)


def losses(trained: Any) -> list[float]:
    """The loss of each step, as the trainer logged it."""
    return [entry["loss"] for entry in trained.state.log_history if "loss" in entry]


def rows_of(trained: Any, format: str, max_length: int | None = None) -> list[Tokens]:
    """The chosen rows as training reads them, each in a sequence of its own."""
    tokenizer = padded()
    found = []
    for number, index in enumerate(trained.selection.indices):
        row = candidates(5, format)[index]
        if format == "plain":
            prompt, whole = row["prompt"], row["prompt"] + row["completion"] + "<|end|>"
        elif format == "conversations":
            turns = row["prompt"] + row["completion"]
            prompt = tokenizer.apply_chat_template(
                row["prompt"], tokenize=False, add_generation_prompt=True
            )
            whole = tokenizer.apply_chat_template(turns, tokenize=False)
        else:
            prompt, whole = "", tokenizer.apply_chat_template(row["messages"], tokenize=False)
        ids = tokenizer(whole, add_special_tokens=False).input_ids
        n_prompt = len(tokenizer(prompt, add_special_tokens=False).input_ids)
        labels = [-100] * n_prompt + ids[n_prompt:]
        part = slice(max_length)
        found.append(Tokens(ids[part], labels[part], [number] * len(ids[part])))
    return found


def packed(rows: Sequence[Tokens], length: int, strategy: str) -> list[Tokens]:
    """The rows as TRL packs them, which takes any columns of lists."""
    columns = {"ids": [r.ids for r in rows], "labels": [r.labels for r in rows]}
    table = Dataset.from_dict(columns | {"rows": [r.rows for r in rows]})
    return [
        Tokens(pack["ids"], pack["labels"], pack["rows"])
        for pack in pack_dataset(table, length, strategy)
    ]


def apart(pack: Tokens) -> list[Tokens]:
    """The rows of a pack that do not see each other."""
    ends = [i for i in range(1, len(pack.rows)) if pack.rows[i] != pack.rows[i - 1]]
    bounds = [0, *ends, len(pack.rows)]
    return [Tokens(*(part[begin:end] for part in pack)) for begin, end in pairwise(bounds)]


def by_hand(
    steps: Sequence[Sequence[Tokens]], everything: Sequence[Tokens], weights: Sequence[float]
) -> tuple[list[float], list[torch.Tensor]]:
    """The loss of each step, and the parameters afterwards.

    Args:
        steps: the sequences of each step.
        everything: those of the whole data set, which say how many tokens a row has.
        weights: of the rows, in any unit.
    """
    model = student("llama").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    n_tokens: Counter[int] = Counter()
    for one in everything:
        labelled = zip(one.rows[1:], one.labels[1:], strict=True)
        n_tokens.update(row for row, label in labelled if label != -100)
    mean = sum(weights[row] for row in n_tokens) / len(n_tokens)
    found = []
    for step in steps:
        total, n_rows = torch.zeros(()), 0.0
        for one in step:
            logits = model(torch.tensor([one.ids])).logits[0, :-1]
            nll = cross_entropy(logits, torch.tensor(one.labels[1:]), reduction="none")
            for value, row, label in zip(nll, one.rows[1:], one.labels[1:], strict=True):
                if label != -100:
                    total = total + weights[row] / mean / n_tokens[row] * value
                    n_rows += 1 / n_tokens[row]
        loss = total / n_rows
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found, [parameter.detach() for parameter in model.parameters()]


def in_steps(sequences: Sequence[Tokens], size: int, *, split: bool = False) -> list[list[Tokens]]:
    """`STEPS` steps of `size` sequences in their order, epoch by epoch; the last may be smaller."""
    found: list[list[Tokens]] = []
    while len(found) < STEPS:
        found += [list(sequences[i : i + size]) for i in range(0, len(sequences), size)]
    return [
        [part for one in step for part in (apart(one) if split else [one])]
        for step in found[:STEPS]
    ]
