"""One forward of each student for each response, and the divergence of what they predict.

Shapes: N scored tokens of a response, n of them at once, V vocabulary.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor

from lnat_plugins.engine.engine import Engine, is_out_of_memory, reading
from lnat_plugins.engine.types import NO_MEMORY, check_ids
from lnat_plugins.errors import StudentError, visible
from lnat_plugins.formatting import plural
from lnat_plugins.gradients.draw import NO_TOKEN, TOO_LONG, DrawnRow, rendered
from lnat_plugins.nce.result import NceWeights
from lnat_plugins.scoring.chat import reads_plain
from lnat_plugins.scoring.progress import bar_over, print_line
from lnat_plugins.scoring.rows import Renderer, count_warned
from lnat_plugins.scoring.student import context_of
from lnat_plugins.scoring.tokens import check_tokenizer
from lnat_plugins.selection.weights import RowWeight, text_digest
from lnat_plugins.teacher_set import Candidates, TeacherSet

NOT_FINITE: Final = "the students' divergence is not finite"
_LOGP_FLOOR: Final = -1e4
"""Stands for log p = −inf: p = 0 then adds 0, and a token that p_pos rules out adds p_neg · 10⁴."""

_log = logging.getLogger(__name__)


def nce_weights(
    positive: Any, negative: Any, tokenizer: Any, teacher_set: TeacherSet, *,
    apply_chat_template: bool | None = None,
) -> NceWeights:  # fmt: skip
    """The weight ½ + tanh(mean over tokens of KL(p_neg ‖ p_pos)) of each response.

    From ½, where the students predict alike, to below 3/2. Costs a forward of each student for each
    response, one response at a time; both must be in memory. Source: arXiv 2312.12832 and its
    authors' code.

    Args:
        positive: a transformers causal language model, PEFT included, such as one trained on right
            responses; left as it was found.
        negative: another of the same tokenizer and vocabulary, such as one trained on wrong ones.
        tokenizer: the fast tokenizer of both.
        teacher_set: from `load_teacher_set`.
        apply_chat_template: as of `score`.

    Raises:
        StudentError: models or a tokenizer that cannot be used, or no memory.
        DataError: a row that the chat template does not take.
    """
    plain = reads_plain(tokenizer, apply_chat_template)
    check_tokenizer(tokenizer)
    renderer = Renderer(tokenizer, plain, strict=False)
    delimiter = teacher_set.settings.target_delimiter
    rows = [
        pair
        for place, prompt in enumerate(teacher_set.prompts)
        for pair in rendered(
            Candidates.of_prompts([prompt], plain=plain, delimiter=delimiter).rows,
            renderer, teacher_set, place,
        )
    ]  # fmt: skip
    contexts = [one for model in (positive, negative) if (one := context_of(model.config))]
    context = min(contexts, default=None)
    reasons = [_problem(row, context) for _, row in rows]
    for note, count in count_warned(row.tokens for _, row in rows).items():
        _log.warning("%d of %d responses: %s", count, len(rows), visible(note))
    tokens = sum(len(row.read) for (_, row), why in zip(rows, reasons, strict=True) if not why)
    print_line(
        f"plan: {plural(len(teacher_set.prompts), 'prompt', separator=',')}, "
        f"{plural(len(rows), 'response', separator=',')}, {tokens:,} tokens to read by each of two "
        "students"
    )
    start = time.perf_counter()
    students = Engine(positive, path="batched"), Engine(negative, path="batched")
    found = []
    with reading(positive), reading(negative):
        shown = bar_over(list(zip(rows, reasons, strict=True)), "NCE", " responses", shown=True)
        for (candidate, row), reason in shown:
            kl = math.nan if reason else mean_divergence(*students, row)
            if not reason and not math.isfinite(kl):
                kl, reason = math.nan, NOT_FINITE
            found.append(
                RowWeight(
                    candidate.prompt_id, row.teacher, candidate.response.sample,
                    text_digest(candidate.text), 0.5 + math.tanh(kl), kl, len(row.targets), reason,
                )
            )  # fmt: skip
    return NceWeights(teacher_set.name, tuple(found), tokens, time.perf_counter() - start)


def mean_divergence(positive: Engine, negative: Engine, row: DrawnRow) -> float:
    """The mean of KL(p_neg ‖ p_pos) over the row's scored tokens, nats per token.

    Distributions in float32, a chunk of positions at a time; sums in float64.

    Raises:
        StudentError: vocabularies that differ, token ids that an embedding lacks, no memory.
    """
    total = 0.0
    try:
        chunks = zip(_logits(positive, row), _logits(negative, row), strict=True)
        for positive_nV, negative_nV in chunks:
            if positive_nV.shape != negative_nV.shape:
                raise StudentError(
                    "two students with different vocabularies cannot be compared",
                    found=f"{positive_nV.shape[-1]} and {negative_nV.shape[-1]} tokens",
                    remedy="give two students of one base model",
                )
            total += float(divergences(positive_nV, negative_nV).double().sum())
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise StudentError(
            "the students ran out of memory on a response", where=row.where,
            found=f"{len(row.read)} tokens", remedy=NO_MEMORY,
        ) from error  # fmt: skip
    return total / len(row.targets)


def divergences(positive_nV: Tensor, negative_nV: Tensor) -> Tensor:
    """KL(p_neg ‖ p_pos) of the distributions of two sets of logits, shape (n,), nats.

    Never below 0, which rounding alone could give.
    """
    logp_nV = positive_nV.float().log_softmax(-1).clamp_(min=_LOGP_FLOOR)
    logq_nV = negative_nV.to(logp_nV.device).float().log_softmax(-1).clamp_(min=_LOGP_FLOOR)
    kl_n: Tensor = torch.linalg.vecdot(logq_nV.exp(), logq_nV - logp_nV)
    return kl_n.clamp_(min=0)


def _logits(student: Engine, row: DrawnRow) -> Iterator[Tensor]:
    check_ids((row.read, row.targets), student.vocabulary)
    device = student.device
    inputs_1L = torch.from_numpy(row.read)[None].to(device)
    where_N = torch.from_numpy(row.at).to(device)
    return student.projector.logits({"input_ids": inputs_1L, "use_cache": False}, where_N)


def _problem(row: DrawnRow, context: int | None) -> str:
    if context is not None and len(row.read) > context:
        return TOO_LONG
    return "" if len(row.targets) else NO_TOKEN


def check_same_tokenizer(positive: Any, negative: Any) -> None:
    """Raises StudentError unless two tokenizers read every text alike, in the same template."""
    check_tokenizer(positive)
    check_tokenizer(negative)
    differing = [
        name
        for name, one, other in (
            ("tokens", _state(positive), _state(negative)),
            ("chat template", positive.chat_template, negative.chat_template),
        )
        if one != other
    ]
    if differing:
        raise StudentError(
            "two students with different tokenizers cannot be compared",
            found=f"another {' and '.join(differing)}",
            remedy="give two students of one base model, with the same tokenizer files",
        )


def _state(tokenizer: Any) -> dict[str, Any]:
    """All that decides how a text is cut."""
    state: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: part for name, part in state.items() if name not in ("padding", "truncation")}
