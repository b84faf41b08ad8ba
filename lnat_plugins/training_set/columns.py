"""A chosen row as named values: its texts in one of TRL's two forms, and where it comes from.

Knows nothing of files. What a column may be called is TRL's affair, because TRL tells a data
set's form by its column names (trl 1.16): a second form beside ours makes it read the wrong one,
and names such as `input_ids` or `images` make it skip its own preparation. A row's other column
of such a name is kept as "row_<name>".
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.selection import Pool, PoolRow, Selection

FORMS: Final = ("prompt_completion", "messages")
"""TRL's forms; with the first one it trains on the completion alone, with the second on all."""

RESERVED: Final = frozenset(
    """
    prompt completion messages text conversations chosen rejected tools chat_template_kwargs
    image images videos pixel_values input_ids labels label attention_mask position_ids
    completion_mask assistant_masks seq_lengths
    """.split()
)
"""Names that mean something to TRL; none of a row's other columns may go by them."""

_OURS: Final = "lnat_"


def check_form(pool: Pool, form: str) -> None:
    """Refuse a form that does not exist, or that these rows do not have.

    Raises:
        ConfigError: says which one works.
    """
    if form not in FORMS:
        raise ConfigError("unknown form of rows", found=form, remedy=did_you_mean(form, FORMS))
    if form == "messages" and pool.plain:
        raise ConfigError(
            "prompts that are plain text cannot be written as `messages`",
            remedy="write them as prompt_completion; or score them as conversations (lm_eval "
            "--apply_chat_template) and choose again",
        )


def row_columns(row: PoolRow, *, plain: bool, form: str) -> dict[str, Any]:
    """The columns that TRL reads: strings for plain text, else lists of turns."""
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in row.messages]
    answer = [{"role": "assistant", "content": row.text}]
    if form == "messages":
        return {"messages": turns + answer}
    if plain:
        return {"prompt": row.messages[0]["content"], "completion": row.text}
    return {"prompt": turns, "completion": answer}


def own_columns(pool: Pool, selection: Selection) -> list[dict[str, Any]]:
    """Of each chosen row, ascending: where it comes from and what was thought of it.

    `lnat_sample` is text if any of the samples is.
    """
    samples = [pool.rows[index].response.sample for index in selection.indices]
    numbers = all(isinstance(one, int) and abs(one) < 2**63 for one in samples)
    return [
        {
            "lnat_teacher": pool.rows[index].teacher,
            "lnat_sample": sample if numbers else str(sample),
            "lnat_prompt_id": pool.rows[index].prompt_id,
            "lnat_score": None if math.isnan(selection.scores[index]) else selection.scores[index],
            "lnat_weight": weight,
            "lnat_correct": pool.rows[index].response.correct,
            "lnat_index": index,
        }
        for index, sample, weight in zip(selection.indices, samples, selection.weights, strict=True)
    ]


def spare_names(extras: Iterable[Mapping[str, Any]], kept: Collection[str] = ()) -> dict[str, str]:
    """Name of a row's other column -> the name it is written under, in order of appearance.

    Names in `kept` stay what they are.
    """
    names = list(dict.fromkeys(name for extra in extras for name in extra))
    taken = {name for name in names if name in kept or not _refused(name)}
    found = {}
    for name in names:
        written = name
        if name not in taken:
            written = f"row_{name}"
            while written in taken:
                written = f"row_{written}"
            taken.add(written)
        found[name] = written
    return found


def _refused(name: str) -> bool:
    return name in RESERVED or name.startswith(_OURS)
