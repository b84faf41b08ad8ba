"""Files of a known form: an API's batch files, and the samples that lm-eval logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lnat_plugins.teacher_set.batch import BATCH_COLUMNS
from lnat_plugins.teacher_set.cells import ABSENT, lookup
from lnat_plugins.teacher_set.detect.found import Search
from lnat_plugins.teacher_set.detect.profile import Values

_REQUEST: Final = ("body", "params", "messages", "prompt")
_LM_EVAL: Final = frozenset(("doc_id", "resps", "arguments"))
_PROMPTS: Final = ("arguments.gen_args_0.arg_0", "arguments.0.0")


def batch_files(files: Mapping[str, Sequence[Values]]) -> tuple[list[str], list[str]]:
    """The files of a batch's answers, and those of its requests; both empty for another form."""
    answers, requests = [], []
    for name, rows in files.items():
        if sum("custom_id" in row for row in rows) * 2 <= len(rows):
            return [], []
        if any(isinstance(row.get(key), Mapping) for row in rows for key in BATCH_COLUMNS):
            answers.append(name)
        elif any(key in row for row in rows for key in _REQUEST):
            requests.append(name)
        else:
            return [], []
    return (answers, requests) if answers else ([], [])


def take_batch(search: Search, requests: Sequence[str]) -> None:
    """Read a batch's answers; the prompts stand in the requests' files."""
    if not requests:
        raise search.ask(
            "these are a batch's answers, and their prompts stand in the file of the requests",
            search.table.files,
            "name that file too: lnat init ANSWERS... REQUESTS",
        )
    search.taken |= {"custom_id", *BATCH_COLUMNS}
    search.roles |= {
        "prompt": f"{' + '.join(requests)}, by custom_id",
        "response": "the answers (choices, or a message), thinking included",
        "prompt id": "custom_id",
    }


def is_lm_eval(search: Search) -> bool:
    """Whether the rows are samples that lm-eval logged."""
    return search.table.columns.keys() >= _LM_EVAL


def take_lm_eval(search: Search) -> dict[str, Any]:
    """Read lm-eval's samples; returns the `where` that keeps one row a response."""
    table = search.table
    count = {p: sum(lookup(row, p) is not ABSENT for row in table.rows) for p in _PROMPTS}
    prompt = max(_PROMPTS, key=lambda path: count[path])
    if not count[prompt]:
        raise search.ask(
            "these are lm-eval's samples, of requests that generate no text", table.columns,
            "give samples of a task with `output_type: generate_until`",
        )  # fmt: skip
    table.column(prompt)
    search.take("prompt", "prompt", [prompt])
    search.take("response", "response", ["resps.0"])
    search.groups = table.keys([prompt])
    search.taken |= {"arguments", "resps", "filtered_resps", "doc_hash", "prompt_hash"}
    search.taken |= {"target_hash", "doc", "target"}
    listed = [own for own in table.values("metrics") if isinstance(own, list)]
    metrics = {name for own in listed for name in own if isinstance(name, str)}
    verdicts = [c for c in table.filled() if c.name in metrics and c.verdicts >= 0.9]
    search.taken.add("metrics")
    if len(verdicts) > 1 and not search.hints.correct:
        raise search.ask(
            "several metrics may say whether a response is correct", verdicts,
            "name the one: --correct COL, or --correct none",
        )  # fmt: skip
    if verdicts and not search.hints.correct:
        search.take("correct", "correctness", [verdicts[0].name], ("correct",))
    filters = list(dict.fromkeys(map(str, filter(None, table.values("filter")))))
    if len(filters) < 2:
        return {}
    search.taken.add("filter")
    search.doubts.append(
        f"each response stands there once a filter ({', '.join(filters)}): those of "
        f"{filters[0]} are read, with its verdicts"
    )
    return {"filter": filters[0]}
