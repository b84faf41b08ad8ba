"""Small sources for a report, and a reader of its HTML."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Any, NamedTuple

from lnat_plugins.metrics import METRICS, Metric
from lnat_plugins.report import ReportOptions, report
from lnat_plugins.scoring.record import ScoredResponse as Row
from lnat_plugins.scoring.samples import ScoredSet, scored_set
from lnat_plugins.teacher_set.prompts import Candidate, Response
from tests.helpers_samples import SETTINGS, make_record

WINDOWS = ("4", "global")
FAST = {"bootstrap_iters": 200}
VOID = {"meta", "br", "hr", "img", "input", "link"}


def row(
    prompt: str,
    teacher: str,
    scores: Sequence[float],
    *,
    steps: Sequence[str] | None = None,
    whole: Sequence[float] | None = None,
    tokens: Sequence[int] | None = None,
    undefined: Mapping[str, str] | None = None,
    correct: bool | None = True,
) -> Row:
    """A response of a step a score; `scores` under window 4, `whole` under the global one."""
    texts = steps or [f"Step {place} of {teacher}. " for place in range(len(scores))]
    counts = tokens or [2] * len(scores)
    by_window = {"4": scores, "global": scores if whole is None else whole}
    sums = {
        window: [score * count for score, count in zip(of, counts, strict=True)]
        for window, of in by_window.items()
    }
    missing = {w: "too long" for w, of in sums.items() if any(map(math.isnan, of))}
    record = make_record(teacher, sums, counts, undefined={**missing, **(undefined or {})})
    known = {w: math.nan if w in missing else math.fsum(of) for w, of in sums.items()}
    ends = [sum(map(len, texts[: place + 1])) for place in range(len(texts))]
    spans = tuple(zip([0, *ends], ends, strict=False))
    record = dataclasses.replace(record, spans=spans, totals=known)
    messages = ({"role": "user", "content": f"What is {prompt}?"},)
    response = Response(teacher, "".join(texts), correct=correct)
    return Row(Candidate(0, prompt, messages, response), record)


def with_response(scored: Row, **more: Any) -> Row:
    """The same row with other fields of its response."""
    response = dataclasses.replace(scored.candidate.response, **more)
    return dataclasses.replace(
        scored, candidate=dataclasses.replace(scored.candidate, response=response)
    )


def source(rows: Sequence[Row], **more: Any) -> ScoredSet:
    prompts = tuple(dict.fromkeys(row.prompt_id for row in rows))
    found = scored_set(tuple(rows), "a_task", "org/student", prompts)
    return dataclasses.replace(found, **{"windows": WINDOWS, "settings": SETTINGS, **more})


def three_teachers(n_prompts: int = 5) -> list[Row]:
    """Responses of 4 to 6 steps whose scores, lengths and verdicts differ."""
    rows = []
    for p in range(n_prompts):
        for t, teacher in enumerate(("QwQ", "R1", "DSQ")):
            scores = [-1.0 - 0.5 * t - 0.1 * ((7 * p + 3 * s + t) % 5) for s in range(4 + t)]
            whole = [score + 0.05 * place for place, score in enumerate(scores)]
            rows.append(row(f"p{p}", teacher, scores, whole=whole, correct=(p + t) % 3 != 0))
    return rows


def near_and_far(n_prompts: int = 40) -> list[Row]:
    """Two teachers that cannot be told apart, and one far away."""
    return [
        row(f"p{p}", name, [mean + 0.01 * ((7 * p + 3 * t) % 5 - 2)] * 4)
        for p in range(n_prompts)
        for t, (name, mean) in enumerate([("A", -1.0), ("B", -1.001), ("far", -9.0)])
    ]


def page_of(rows: Sequence[Row], *, prompts: int | None = None, **more: Any) -> str:
    return report(source(rows), options(**more), prompts)


def unpacked(text: str, id_: str) -> Any:
    """What a compressed block of the page holds."""
    (node,) = re.findall(
        rf'<script type="application/octet-stream;base64" id="{id_}">(.*?)</', text
    )
    return json.loads(zlib.decompress(base64.b64decode(node)))


def block(text: str, id_: str) -> Any:
    """What a JSON block of the page holds."""
    (found,) = re.findall(rf'<script type="application/json" id="{id_}">(.*?)</script>', text)
    return json.loads(found)


def values_of(chart: Mapping[str, Any], layer: int) -> list[dict[str, Any]]:
    """The rows that a layer of a plot draws."""
    data = chart["layer"][layer].get("data") or chart["data"]
    found: list[dict[str, Any]] = (
        chart["datasets"][data["name"]] if "name" in data else data["values"]
    )
    return found


def without_script(text: str) -> str:
    """The page but for what its scripts and data blocks hold."""
    return re.sub(r"(<script[^>]*>).*?(</script>)", r"\1\2", text, flags=re.DOTALL)


def traces_in(text: str) -> list[int]:
    """The indices of the prompts whose traces are in the page."""
    return [int(found) for found in re.findall(r'id="trace-(\d+)"', text)]


def options(
    metric: Metric = METRICS["local_naturalness"],
    window: str = "4",
    metrics: Mapping[str, Metric] = METRICS,
    **more: Any,
) -> ReportOptions:
    return ReportOptions(metric, window, metrics, **{**FAST, **more})


class Node(NamedTuple):
    name: str
    attributes: Mapping[str, str | None]
    path: tuple[str, ...]


class Page(HTMLParser):
    """Every element with those around it, and the text inside each `id`."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.nodes: list[Node] = []
        self.open: list[Node] = []
        self.texts: dict[int, str] = {}
        self.problems: list[str] = []
        self.feed(text)
        self.close()
        self.problems += [f"not closed: {node.name}" for node in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs), tuple(each.name for each in self.open))
        self.nodes.append(node)
        self.texts[id(node)] = ""
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1].name != tag:
            self.problems.append(f"closed out of turn: {tag}")
            return
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for node in self.open:
            self.texts[id(node)] += data

    def all(self, name: str, **attributes: str) -> list[Node]:
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return [
            node
            for node in self.nodes
            if node.name == name and wanted.items() <= node.attributes.items()
        ]

    def text(self, node: Node) -> str:
        return self.texts[id(node)]

    def table(self, caption: str) -> dict[str, list[str]]:
        """Row heading -> the other cells, of the table of that caption."""
        (start,) = [
            place for place, node in enumerate(self.nodes)
            if node.name == "caption" and self.text(node) == caption
        ]  # fmt: skip
        found: dict[str, list[str]] = {}
        for node in self.nodes[start + 1 :]:
            if node.name == "table":
                break
            if node.attributes.get("scope") == "row":
                heading = self.text(node).strip().split("\xa0")[-1].strip()
                found[heading] = []
            elif node.name == "td" and found:
                found[heading].append(self.text(node))
        return found
