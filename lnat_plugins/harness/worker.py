"""One prompt in, one line of a samples file out: a student of lm-eval without lm-eval's loop.

For runs whose loop over prompts is another program's, such as a cluster's. A prompt is read by
itself, so that its numbers hang neither on the prompts beside it nor on which worker reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from lm_eval.api.registry import get_model

from lnat_plugins.errors import LnatError, StudentError, visible
from lnat_plugins.harness.documents import (
    document_of,
    filter_name,
    run_settings,
    target_of,
    template_arguments,
)
from lnat_plugins.harness.prompt_scorer import (
    PromptJob,
    PromptScorer,
    ScorerKey,
    scorer_key,
    template_options,
)
from lnat_plugins.harness.requests import choose_backend
from lnat_plugins.harness.results import summary
from lnat_plugins.harness.student_weights import student_fingerprint
from lnat_plugins.plugins.configured import Plan
from lnat_plugins.scoring.chat import reads_plain
from lnat_plugins.scoring.rows import Renderer
from lnat_plugins.teacher_set import Prompt

_HALF: Final = re.compile("[\ud800-\udfff]")


class ScoredLine(NamedTuple):
    """What came of one prompt.

    Args:
        line: of a samples file, without the line's end; "" where the prompt could not be scored.
        reason: why it could not, by which prompts are counted; "" if it was.
        final: whether another run would give the same: not where the student ran out of memory.
        error: the reason with all that is known of the one response, for people.
    """

    line: str
    reason: str
    final: bool
    error: str = ""


class Worker:
    """A student of lm-eval, loaded in this process.

    Args:
        model: lm-eval's name of the back end: "hf", "vllm", ...
        arguments: as `--model_args`, `pretrained` among them.
        plan: how rows are scored.
        task: the teacher set's name.
        apply_chat_template: see `reads_plain`.

    Raises:
        StudentError: the student cannot be loaded, or gives no log-probabilities.
        ConfigError: a metric that this student or back end cannot give.
    """

    def __init__(
        self, model: str, arguments: Mapping[str, Any], plan: Plan, task: str,
        apply_chat_template: bool | None = None,
    ) -> None:  # fmt: skip
        self._lm: Any = _load(model, arguments)
        backend = choose_backend(self._lm)
        plan.requested.check_student(backend.unavailable)
        tokenizer = self._lm.tokenizer
        self._plan, self._task = plan, task
        self._plain = reads_plain(tokenizer, apply_chat_template)
        options = {} if self._plain else template_options(self._lm)
        self._renderer = Renderer(tokenizer, self._plain, options, strict=False)
        self._settings = run_settings(
            plan.settings, plan.steps, plan.requested,
            None if self._plain else self._lm.apply_chat_template, None,
            template_arguments(tokenizer, options) if options else {},
        )  # fmt: skip
        self._scorer = PromptScorer(self._lm, backend)
        self._ready: set[ScorerKey] = set()

    def fingerprint(self) -> str:
        """See `student_fingerprint`."""
        return student_fingerprint(self._lm)

    def score(self, number: int, prompt: Prompt, *, narrower: bool, variants: bool) -> ScoredLine:
        """Score all responses to a prompt.

        Args:
            number: of the prompt in its set, from 0.
            prompt: with its responses as the data has them.
            narrower, variants: see `ways.Extra`.

        Raises:
            StudentError: the student fails on everything now, as after an error of its device.
        """
        try:
            return self._score(number, prompt, narrower, variants)
        except LnatError as error:
            return ScoredLine("", visible(error.reason), final=False, error=str(error))
        except Exception as cause:  # noqa: BLE001  one prompt must not end a run of days
            first, *_ = str(cause).strip().splitlines() or [""]
            reason = visible(f"{type(cause).__name__}: {first}".removesuffix(": "))
            self._check(prompt, reason)
            return ScoredLine("", reason, final=False, error=reason)

    def _score(self, number: int, prompt: Prompt, narrower: bool, variants: bool) -> ScoredLine:
        if not self._plain:
            prompt = replace(prompt, responses=tuple(map(self._renderer.own, prompt.responses)))
        doc = document_of(prompt)
        text = prompt.text + self._plan.settings.target_delimiter
        job = PromptJob(
            self._task,
            prompt.prompt_id,
            text,
            ({"role": "user", "content": text},) if self._plain else prompt.messages,
            self._settings,
            self._plan.steps,
            prompt.responses,
            self._plan.requested.statistics,
            self._plan.tokens,
            narrower,
            variants,
        )
        if (key := scorer_key(job)) not in self._ready:
            self._scorer.get_ready([job])
            self._ready.add(key)
        ready = self._scorer.prepare(job)
        with self._scorer.reading([ready]):
            records = self._scorer.score(job, ready)
        window = self._settings["windows"][0]
        line = {
            "doc_id": number,
            "doc": doc,
            "target": target_of(doc),
            "resps": [[record.to_json()] for record in records],
            "filtered_resps": [summary(record, window) for record in records],
            "filter": filter_name(self._plan.settings.prefix),
        }
        final = not any(record.may_pass for record in records)
        text = json.dumps(line, ensure_ascii=False)
        if _HALF.search(text):
            text = json.dumps(line)  # UTF-8 has no halves of characters
        return ScoredLine(text, "", final)

    def _check(self, prompt: Prompt, reason: str) -> None:
        """That the student still reads: after an error of a GPU nothing can be read any more."""
        asked = replace(prompt.responses[0], text="Seven.", steps=("Seven.",), parts=None, extra={})
        plain = ({"role": "user", "content": "What is 3 + 4?"},)
        try:
            self._score(0, Prompt("", plain, (asked,)), False, False)
        except LnatError:
            pass
        except Exception:  # noqa: BLE001
            raise StudentError(
                "the student fails on everything since this prompt",
                where=f"prompt {prompt.prompt_id}", found=reason,
                remedy="run again; if it is always this prompt, leave it out with `where`",
            ) from None  # fmt: skip


def _load(model: str, arguments: Mapping[str, Any]) -> Any:
    try:
        # As the harness's command does: `hf` then takes the CPU where there is no GPU.
        return get_model(model).create_from_arg_obj({"device": "cuda:0", **arguments})
    except LnatError:
        raise
    except Exception as cause:
        # Back ends are other people's programs: they raise whatever they like.
        first, *_ = str(cause).strip().splitlines() or [type(cause).__name__]
        raise StudentError(
            f"the student cannot be loaded: {first.rstrip('.')}",
            where=f"{model}, {arguments.get('pretrained', '')}",
            remedy="load it with lm_eval --model and --model_args first",
        ) from cause


def check_back_end(model: str) -> None:
    """Refuse a name that lm-eval does not know, or whose packages are missing (StudentError)."""
    try:
        get_model(model)
    except (ValueError, KeyError, ImportError, AttributeError):
        raise StudentError(
            "lm-eval has no such back end here", where="model", found=model,
            remedy="use hf, vllm, sglang or another back end with a tokenizer",
        ) from None  # fmt: skip
