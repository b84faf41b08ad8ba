"""Batch files of APIs: answers by `custom_id`, beside the file of the requests.

OpenAI's form, which vLLM's `run-batch` writes too: a request holds `body.messages`, an answer
`response.body.choices`. Anthropic's form: `params.messages` and `params.system`; `result.message`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import DataError
from lnat_plugins.teacher_set.cells import lookup
from lnat_plugins.teacher_set.conversations import (
    Reply,
    prompt_messages,
    replies,
    text_of_parts,
    with_system,
)
from lnat_plugins.teacher_set.fields import check_json, name_text
from lnat_plugins.teacher_set.loaders import Row
from lnat_plugins.teacher_set.prompts import JSON, Message
from lnat_plugins.teacher_set.unusable import Tally

BATCH_COLUMNS: Final = ("response", "result", "error")
"""Columns of an answer's row that are read here."""


class BatchPrompt(NamedTuple):
    """A request: its turns, and what else of it the student may need (`tools`)."""

    messages: tuple[Message, ...]
    extra: Mapping[str, JSON]
    where: str


BatchPrompts = Mapping[str, BatchPrompt]
"""The requests by `custom_id`."""


def read_prompts(rows: Iterable[Row | DataError], tally: Tally) -> dict[str, BatchPrompt]:
    """The requests by their `custom_id`; the same request may stand in several files.

    A request that cannot be used is counted in `tally`; its answers have no prompt then.

    Raises DataError for two prompts under one id, and where there is no request at all.
    """
    found: dict[str, BatchPrompt] = {}
    for row in rows:
        try:
            custom_id, prompt = _request(row)
        except DataError as error:
            tally.leave_out("", error)
            continue
        known = found.setdefault(custom_id, prompt)
        if known[:2] != prompt[:2]:
            raise DataError(
                f"two different prompts share the id {custom_id!r}; the first is in {known.where}",
                where=prompt.where, remedy="give each prompt an id of its own",
            )  # fmt: skip
    if not found:
        tally.refuse_nothing()
    return found


def _request(row: Row | DataError) -> tuple[str, BatchPrompt]:
    """The id and the prompt of a request's row."""
    if isinstance(row, DataError):
        raise row
    values = row.values
    if values.get("custom_id") is None:
        raise DataError(
            "there is no column 'custom_id'", where=row.where, found=", ".join(values),
            remedy="`prompts:` names the file of the requests, which has one in every row",
        )  # fmt: skip
    custom_id = name_text(values["custom_id"], f"{row.where}, column 'custom_id'")
    request = next(
        (values[key] for key in ("body", "params") if isinstance(values.get(key), Mapping)),
        values,
    )
    key = "prompt" if request.get("messages") is None else "messages"
    if request.get(key) is None:
        raise DataError(
            "the request has no `messages`", where=row.where, found=sorted(request),
            remedy="write body.messages (OpenAI, vLLM) or params.messages (Anthropic)",
        )  # fmt: skip
    messages = prompt_messages(request[key], f"{row.where}, {key}")
    system = request.get("system")
    if system is not None and system != "" and system != []:
        place = f"{row.where}, system"
        messages = with_system(messages, text_of_parts(system, place), place)
    tools = request.get("tools")
    check_json(tools, f"{row.where}, tools")
    return custom_id, BatchPrompt(messages, {"tools": tools} if tools else {}, row.where)


def prompt_of(prompts: BatchPrompts, custom_id: str, where: str) -> BatchPrompt:
    """The request that an answer belongs to; DataError if there is none."""
    if custom_id not in prompts:
        raise DataError(
            "no request has this id", where=f"{where}, column 'custom_id'", found=custom_id,
            remedy="`prompts:` must name the files of all requests",
        )  # fmt: skip
    return prompts[custom_id]


def batch_replies(values: Mapping[str, Any], where: str) -> list[Reply | DataError]:
    """The answers in a row of a batch's output.

    Raises DataError for a request that failed, and for a row of neither form.
    """
    if isinstance(values.get("result"), Mapping):
        kind = values["result"].get("type")
        message = values["result"].get("message")
        if kind != "succeeded" or not isinstance(message, Mapping):
            raise _failed(where, kind)
        turn = {"role": "assistant", "content": message.get("content")}
        choice = {"message": turn, "finish_reason": message.get("stop_reason")}
        return replies([choice], f"{where}, result")
    if not {"response", "error"} & values.keys():
        raise DataError(
            "a row of a batch's output holds a `response` or a `result`",
            where=where, found=", ".join(values),
            remedy="name the output files in `dataset_path` and the requests under `prompts`",
        )  # fmt: skip
    status = lookup(values, "response.status_code")
    if values.get("error") or (isinstance(status, int) and status != 200):
        raise _failed(where, values.get("error") or status)
    choices = lookup(values, "response.body.choices")
    if not isinstance(choices, list):
        raise _failed(where, values.get("response"))
    return replies(choices, f"{where}, choices")


def _failed(where: str, found: object) -> DataError:
    return DataError(
        "the request failed", where=where, found=found, remedy="repeat it, or remove the row"
    )
