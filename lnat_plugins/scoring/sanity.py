"""What a record says of the student itself, for doubts about a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from lnat_plugins.engine.types import PromptRuns, TokenRun
from lnat_plugins.errors import LnatError
from lnat_plugins.scoring.backend import Backend
from lnat_plugins.scoring.chat import render
from lnat_plugins.scoring.engine_backend import EngineBackend
from lnat_plugins.scoring.tokens import check_tokenizer
from lnat_plugins.teacher_set.thinking import TAGS

_TEMPLATE: Final = "template_logprob"
_QUESTION: Final = "What is 3 + 4?"
_THOUGHT: Final = "Three and four make seven."


def student_facts(
    tokenizer: Any, backend: Backend, *, template: bool, max_length: int | None
) -> dict[str, Any]:
    """JSON values, the same for every record of a run.

    - vocabulary: tokens that the tokenizer knows, so that −log of it is a uniform guess, in nats;
    - max_length: tokens that the student reads at once; None if there is no limit;
    - hidden_thinking: the closing tags of `teacher_set.thinking.TAGS` before which the chat
      template leaves the thinking part of a reply out;
    - template_logprob: mean log p, in nats, of the template's own tokens between a question and
      the reply, by the engine. Near 0 if the student was trained in this template.

    The last two only where a chat template is applied that takes a plain conversation.

    Raises StudentError as `check_tokenizer`.
    """
    check_tokenizer(tokenizer)
    facts: dict[str, Any] = {"vocabulary": len(tokenizer), "max_length": max_length}
    if not template:
        return facts
    asked = [{"role": "user", "content": _QUESTION}]
    try:
        replies = {
            closing: render(tokenizer, asked, f"{opening}\n{_THOUGHT}\n{closing}\n\nSeven.")
            for opening, closing in TAGS.items()
        }
        opened = render(tokenizer, asked)
    except LnatError:
        return facts
    facts["hidden_thinking"] = [tag for tag, reply in replies.items() if _THOUGHT not in reply]
    before, content, after = opened.rpartition(_QUESTION)
    if isinstance(backend, EngineBackend) and content and after:
        facts[_TEMPLATE] = _mean_logprob(tokenizer, backend, before + content, after)
    return facts


def facts_failed(facts: Mapping[str, Any]) -> bool:
    """Whether the student gave no number for them, which may pass."""
    return facts.get(_TEMPLATE, 0.0) is None


def _mean_logprob(tokenizer: Any, backend: EngineBackend, before: str, after: str) -> float | None:
    """Of the tokens of `after`; None where it cannot be had."""
    prompt, ids = (
        np.array(tokenizer(text, add_special_tokens=False)["input_ids"], np.int64)
        for text in (before, after)
    )
    ((found,),) = backend.engine.score_all(
        [PromptRuns(prompt, [TokenRun(ids, np.ones(len(ids), bool))])]
    )
    return None if found.failure else float(found.logprobs.mean())
