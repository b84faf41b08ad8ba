"""Responses joined into prompts and filtered; what is dropped is counted by reason.

Rows belong together if they have the same prompt id or, where the data has no ids, exactly the
same prompt.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final, NamedTuple

from lnat_plugins.errors import ConfigError, DataError, did_you_mean
from lnat_plugins.teacher_set.config import DataSpec
from lnat_plugins.teacher_set.near_equal import near_equal
from lnat_plugins.teacher_set.prompts import Message, NearEqual, Prompt, Response, role_and_content
from lnat_plugins.teacher_set.responses import ParsedResponse

_DEFAULT: Final = "min_teachers: 2"


class Selected(NamedTuple):
    """The prompts that the filters keep, and what exact joining kept apart."""

    prompts: list[Prompt]
    near_equal: NearEqual | None


def join(rows: Iterable[ParsedResponse]) -> list[Prompt]:
    """One prompt for each id, or for each distinct text, in order of first appearance.

    A teacher's responses to a prompt that bring no sample are numbered 0, 1, ... in their order.

    Raises DataError for two prompts under one id, for a second response of one teacher with the
    same sample, and for ids on some rows only.
    """
    prompts: dict[Any, tuple[tuple[Message, ...], list[Response]]] = {}
    seen: dict[tuple[Any, str, int | str], str] = {}
    following: dict[tuple[Any, str], int] = {}
    first: dict[bool, str] = {}
    for prompt_id, messages, response, numbered in rows:
        first.setdefault(prompt_id is None, response.where)
        if len(first) == 2:
            raise DataError(
                "a row without a prompt id, while another has one",
                where=first[True], found=f"an id in {first[False]}",
                remedy="give every row an id, or none, to join rows by the prompt's text",
            )  # fmt: skip
        key = role_and_content(messages) if prompt_id is None else prompt_id
        known, responses = prompts.setdefault(key, (messages, []))
        if known != messages:
            raise DataError(
                f"two different prompts share the id {prompt_id!r}; the first is in "
                + responses[0].where,
                where=response.where, found=_difference(messages, known),
                remedy="give each prompt an id of its own, or remove the ids",
            )  # fmt: skip
        sample, writer = response.sample, (key, response.teacher)
        if isinstance(sample, int):
            next_one = following.get(writer, 0)
            if not numbered and sample < next_one:
                sample = next_one
                response = replace(response, sample=sample)
            following[writer] = max(next_one, sample + 1)
        own = (key, response.teacher, response.sample)
        if own in seen:
            raise DataError(
                f"a second response of teacher {response.teacher!r}, sample {response.sample!r}, "
                f"to prompt {_name(key)!r}; the first is in {seen[own]}",
                where=response.where,
                remedy="number a teacher's responses in a `sample` column, or remove one",
            )
        seen[own] = response.where
        responses.append(response)
    return [
        Prompt(_name(key), messages, tuple(responses))
        for key, (messages, responses) in prompts.items()
    ]


def select(prompts: list[Prompt], spec: DataSpec, dropped: Counter[str]) -> Selected:
    """The prompts and responses that the set's filters keep; the rest is counted in `dropped`.

    Raises ConfigError for a teacher that the data does not have, DataError when a filter leaves
    nothing.
    """
    if spec.teachers is not None:
        wanted = frozenset(spec.teachers)
        present = {response.teacher for prompt in prompts for response in prompt.responses}
        for teacher in spec.teachers:
            if teacher not in present:
                raise ConfigError(
                    "the data has no such teacher", where=f"{spec.source}: naturalness: teachers",
                    found=teacher, remedy=did_you_mean(teacher, present),
                )  # fmt: skip
        prompts = _keep(
            prompts, lambda r: None if r.teacher in wanted else "not in `teachers`", dropped
        )
    if spec.require_correct:
        if all(r.correct is None for prompt in prompts for r in prompt.responses):
            raise ConfigError(
                "`require_correct` needs a column that says which responses are correct",
                where=spec.source,
                remedy="name it under `naturalness: columns: {correct: ...}`, "
                "or remove `require_correct`",
            )
        reasons = {None: "`correct` is not given", False: "`correct` is false", True: None}
        prompts = _keep(prompts, lambda r: reasons[r.correct], dropped)
        _refuse_empty(prompts, "require_correct: true", spec, dropped)
    kept, left_out = [], []
    for prompt in prompts:
        if len({response.teacher for response in prompt.responses}) >= spec.min_teachers:
            kept.append(prompt)
        else:
            reason = f"the prompt has fewer than {spec.min_teachers} teachers"
            dropped[reason] += len(prompt.responses)
            # Prompts that are joined by ids may have any text.
            if prompt.prompt_id == _name(role_and_content(prompt.messages)):
                left_out.append(prompt)
    near = near_equal(kept, left_out)
    by = f"min_teachers: {spec.min_teachers}"
    _refuse_empty(kept, by, spec, dropped, near.in_words() if near else "")
    return Selected(kept, near)


def _keep(
    prompts: list[Prompt], reason_against: Callable[[Response], str | None], dropped: Counter[str]
) -> list[Prompt]:
    kept = []
    for prompt in prompts:
        reasons = [(response, reason_against(response)) for response in prompt.responses]
        dropped.update(reason for _, reason in reasons if reason)
        if responses := tuple(response for response, reason in reasons if not reason):
            kept.append(replace(prompt, responses=responses))
    return kept


def _refuse_empty(
    prompts: list[Prompt], by: str, spec: DataSpec, dropped: Counter[str], why: str = ""
) -> None:
    if not prompts:
        counts = ", ".join(f"{count} because {reason}" for reason, count in dropped.items())
        raise DataError(
            f"`{by}` leaves no response" + (f" (dropped: {counts})" if counts else ""),
            where=spec.source,
            remedy=why.removesuffix(".")
            or ("write `min_teachers: 1`" if by == _DEFAULT else "loosen it")
            + ", or check that prompts and teachers are named alike in all files",
        )


def _name(key: str | tuple[tuple[str, ...], ...]) -> str:
    """The prompt's id, or one made of its turns."""
    if isinstance(key, str):
        return key
    text = json.dumps(key, ensure_ascii=False)
    return f"prompt-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _difference(here: tuple[Message, ...], there: tuple[Message, ...]) -> str:
    """Both prompts around the first character in which they differ."""
    texts = [json.dumps(role_and_content(turns), ensure_ascii=False) for turns in (here, there)]
    pairs = enumerate(zip(*texts, strict=False))
    differs = next((i for i, (a, b) in pairs if a != b), min(map(len, texts)))
    start = max(0, differs - 10)
    return " and ".join(repr(text[start : start + 25]) for text in texts)
