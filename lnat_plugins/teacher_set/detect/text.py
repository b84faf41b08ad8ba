"""A proposed definition as a YAML with comments, and what was recognised in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from lnat_plugins.formatting import plural
from lnat_plugins.teacher_set.detect.found import Detected, named
from lnat_plugins.teacher_set.notes import left_out
from lnat_plugins.teacher_set.prompts import Prompt, Response, TeacherSet
from lnat_plugins.teacher_set.thinking import split_thinking

CLASS: Final = "!function lnat_plugins.harness.NaturalnessTask"
_WIDTH: Final = 92
_LINE: Final = 120  # characters of a line of the YAML
_HEAD: Final = 4  # lines of the beginning of an example, and fewer of its end
_TAIL: Final = 3

_LAYOUTS: Final = {
    "long": "long (a row a response)",
    "wide": "wide (a row a prompt, a column a teacher)",
    "messages": "messages (a conversation a row; its last turn is the response)",
    "prompt_completion": "prompt_completion (TRL's prompt and completion, a row a response)",
    "nested": "nested (a row a prompt, with a list of responses)",
    "batch": "batch (an API's answers, joined with the requests by custom_id)",
}

_WHOLE: Final = "messages (a conversation a row; every turn of the assistant is scored)"


def yaml_text(detected: Detected, task: str, name: str, where: Mapping[str, Any]) -> str:
    """The YAML of a proposal; lines of comments that hold a key may be uncommented.

    Args:
        task: the set's name.
        name: of the file, for the comment that says how to check it.
        where: a filter that fits the data, as an example.
    """
    config = dict(detected.config)
    block = dict(config.pop("naturalness", {}))
    lines = [f"class: {CLASS}", *_lines({"task": task, **config}), "naturalness:"]
    lines += [f"  {line}" for line in _lines(block)]
    lines.append(f"  # what is read and left out: lnat check {name}")
    if detected.unused and detected.layout != "batch":
        lines.append(f"  # columns that are not read: {', '.join(map(named, detected.unused))}")
    options: dict[str, Any] = {}
    if "columns" not in block:
        field = "messages" if detected.layout == "messages" else "prompt"
        if detected.layout != "batch":
            options["columns"] = {field: detected.roles["prompt"].split(",")[0].split(" + ")[0]}
    if detected.roles.get("correctness", "none") != "none":
        options["require_correct"] = True
    if "where" not in block and where:
        options["where"] = dict(where)
    if "min_teachers" not in block:
        options["min_teachers"] = 2
    if "turns" in block:
        options["steps"] = "turn"
    options["windows"] = [1, "global"] if "turns" in block else [4, "10%", "global"]
    lines += [f"  # {line}" for line in _lines(options)]
    return "\n".join(lines) + "\n"


def _lines(values: Mapping[str, Any]) -> list[str]:
    """The keys of a mapping, a line each; a mapping that is too long for one has a line a key."""
    found = []
    for key, value in values.items():
        name = yaml.safe_dump(key, allow_unicode=True).removesuffix("\n...\n").strip()
        line = f"{name}: " + yaml.safe_dump(
            value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False
        ).removesuffix("...\n").strip()  # fmt: skip
        if len(line) > _LINE and isinstance(value, Mapping):
            found += [f"{name}:", *(f"  {own}" for own in _lines(value))]
        else:
            found.append(line)
    return found


def in_words(detected: Detected, teacher_set: TeacherSet) -> list[str]:
    """What was taken for what, what was read, two examples, and what is uncertain."""
    whole = detected.config.get("naturalness", {}).get("turns") == "all"
    lines = [f"layout: {_WHOLE if whole else _LAYOUTS[detected.layout]}"]
    read = {part: " + ".join(own) for part, own in teacher_set.columns.items()}
    for role, said in detected.roles.items():
        shown = said
        if role in ("prompt", "system") and detected.layout not in ("batch", "messages"):
            shown = read.get(role, said)  # all the columns that were filled
        elif role == "system" and said == "none" and (turns := _system_turns(teacher_set)):
            shown = f"in the turns of {plural(turns, 'prompt')}"
        elif role == "thinking" and said == "none":
            shown = _thinking(teacher_set)
        lines.append(f"{role}: {shown}")
    responses = Counter(r.teacher for p in teacher_set.prompts for r in p.responses)
    prompts = Counter(t for p in teacher_set.prompts for t in {r.teacher for r in p.responses})
    lines += [
        f"teacher {name}: {plural(responses[name], 'response')} to "
        f"{plural(prompts[name], 'prompt')}"
        for name in teacher_set.teachers
    ]
    for prompt, response in _examples(teacher_set):
        lines.append(f"example: {response.where}, teacher {response.teacher}")
        lines += [f"  prompt    | {line}" for line in shown_text(prompt.text)]
        lines += [f"  response  | {line}" for line in shown_text(response.text)]
    lines += [f"unsure: {doubt}" for doubt in detected.doubts]
    lines += [f"note: {note}" for note in teacher_set.all_notes]
    if detected.unused:
        lines.append(f"columns not used: {', '.join(map(named, detected.unused))}")
    return [*lines, *left_out(teacher_set)]


def _system_turns(teacher_set: TeacherSet) -> int:
    """Prompts whose turns bring a system text of their own."""
    return sum(prompt.messages[0]["role"] == "system" for prompt in teacher_set.prompts)


def _thinking(teacher_set: TeacherSet) -> str:
    """Where the thinking part is, if no column holds it."""
    some = [r for prompt in teacher_set.prompts[:50] for r in prompt.responses]
    if any(response.parts for response in some):
        return "beside the answers' text, under a key of its own"
    if any(split_thinking(response.text).is_filled for response in some):
        return "in the responses' text, between tags"
    return "none"


def _examples(teacher_set: TeacherSet) -> Iterator[tuple[Prompt, Response]]:
    """The first response of each of two teachers, to different prompts where there are some."""
    first = teacher_set.prompts[0]
    yield first, first.responses[0]
    for prompt in [*teacher_set.prompts[1:], first]:
        for response in prompt.responses:
            if response.teacher != first.responses[0].teacher:
                yield prompt, response
                return
    if len(teacher_set.prompts) > 1:
        yield teacher_set.prompts[1], teacher_set.prompts[1].responses[0]


def shown_text(text: str) -> list[str]:
    """Beginning and end of a text in eight lines at most, its white space visible.

    A line break is shown as ⏎, a tab as →, blanks at the ends of a line as ·.
    """
    lines = []
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        inner = body.strip(" ")
        left = len(body) - len(body.lstrip(" "))
        right = len(body) - left - len(inner) if inner else 0
        shown = "·" * left + inner + "·" * right + "⏎" * (len(line) > len(body))
        shown = shown.replace("\t", "→")
        lines += [shown[i : i + _WIDTH] for i in range(0, len(shown), _WIDTH)]
    if len(lines) <= _HEAD + _TAIL + 1:
        return lines
    head, tail = lines[:_HEAD], lines[-_TAIL:]
    left_out_lines = len(lines) - _HEAD - _TAIL
    return [*head, f"[... {plural(left_out_lines, 'more line')} ...]", *tail]
