"""`dataset_info.json`: the training set as LLaMA-Factory takes it (`dataset_dir`).

Knows nothing of the other files. Conversations are "sharegpt" with role and content tags, plain
text is "alpaca", which LLaMA-Factory puts into its own `template` unless that is `empty`.
Source: data/README.md of LLaMA-Factory and its `data/converter.py`.
"""

from __future__ import annotations

import json
from typing import Any, Final

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.selection import Pool, Selection

DATASET_INFO: Final = "dataset_info.json"
DATASET: Final = "lnat"

# Every tag stands here: one that is left out is none at all for LLaMA-Factory, not its default.
_TAGS: Final = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
    "observation_tag": "tool",
    "function_tag": "function_call",
}


def check_llama_factory(pool: Pool, selection: Selection, form: str) -> None:
    """Refuse what LLaMA-Factory cannot read, or would skip without failing.

    Raises:
        ConfigError: conversations in the form prompt_completion.
        DataError: a conversation whose turns do not alternate.
    """
    if pool.plain:
        return
    if form != "messages":
        raise ConfigError(
            "LLaMA-Factory reads no conversations in `prompt` and `completion`",
            found=form,
            remedy="give --format messages",
        )
    for index in selection.indices:
        row = pool.rows[index]
        roles = [turn["role"] for turn in row.messages]
        turns = roles[1:] if roles[0] == "system" else roles
        asking, answering = set(turns[::2]), set(turns[1::2])
        alternate = asking <= {"user", "tool"} and answering <= {"assistant"}
        if not alternate or len(turns) % 2 == 0:
            raise DataError(
                "LLaMA-Factory would skip this conversation: its turns do not alternate",
                where=row.where,
                found=roles,
                remedy="join its turns, or leave out --llama_factory",
            )


def dataset_info(pool: Pool, data: str) -> str:
    """The file's text; the data set is called "lnat".

    Args:
        pool: says whether prompts are plain text.
        data: the parquet file, relative to this one.
    """
    entry: dict[str, Any] = {"file_name": data}
    if pool.plain:
        entry |= {
            "formatting": "alpaca",
            "columns": {"prompt": "prompt", "response": "completion"},
        }
    else:
        entry |= {
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": _TAGS,
        }
    return json.dumps({DATASET: entry}, indent=2) + "\n"
