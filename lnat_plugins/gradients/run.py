"""Teachers by the student's gradients: one backward pass for each response, then the figures.

Shapes: N responses, P prompts, T teachers, d dimensions, B resamples, L tokens of a row.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from lnat_plugins.engine.engine import Engine, is_out_of_memory
from lnat_plugins.engine.types import check_ids
from lnat_plugins.errors import ConfigError, DataError, StudentError, did_you_mean, visible
from lnat_plugins.formatting import plural
from lnat_plugins.gradients.draw import DrawnRow, draw
from lnat_plugins.gradients.grace import Grace, folds_of, g_norm, g_vendi, grace, weights
from lnat_plugins.gradients.parameters import PARAMETERS, Parameters, differentiated
from lnat_plugins.gradients.projection import KINDS, Kind, Projection
from lnat_plugins.gradients.result import GradientScores, TeacherGradients
from lnat_plugins.ranking.bootstrap import RESAMPLES, check_resampling, intervals, resampled_means
from lnat_plugins.ranking.orders import ranks
from lnat_plugins.scoring.chat import reads_plain
from lnat_plugins.scoring.progress import bar_over, print_line
from lnat_plugins.scoring.rows import Renderer, count_warned
from lnat_plugins.scoring.student import context_of
from lnat_plugins.scoring.tokens import check_tokenizer
from lnat_plugins.teacher_set import TeacherSet

Floats = npt.NDArray[np.float64]

_log = logging.getLogger(__name__)

LARGEST: Final = 8192
"""The most dimensions: a d × d matrix for each fold, of which 8,192 take half a gigabyte."""
NOT_FINITE: Final = "its gradient is not finite"
ZERO: Final = "its gradient is 0"


def gradient_scores(
    model: Any,
    tokenizer: Any,
    teacher_set: TeacherSet,
    *,
    prompts: int = 512,
    samples: int = 4,
    parameters: Parameters = "all",
    dimension: int = 512,
    projection: Kind = "sketch",
    folds: int = 10,
    smoothing: float = 1e-3,
    seed: int = 0,
    bootstrap_iters: int = RESAMPLES,
    apply_chat_template: bool | None = None,
) -> GradientScores:
    """GRACE, G-Norm and G-Vendi of each teacher: a student's gradients on its responses.

    Costs a forward and a backward pass for each response, which no other metric does; it is never
    run with them. Lower GRACE is better. Source: arXiv 2511.02833, sections 2.1 and 2.2.

    Args:
        model: a transformers causal language model in float32; left as it was found.
        tokenizer: its fast tokenizer.
        teacher_set: from `load_teacher_set`.
        prompts: drawn among those that every teacher answers (n; the paper's 512).
        samples: responses of each teacher to a prompt, at most (m; the paper's 4).
        parameters: "all" as the paper, "lora" or "last_layer"; see `gradients.parameters`.
        dimension: d, the paper's 512.
        projection: "sketch", or "rademacher" as the paper's; see `gradients.projection`.
        folds: C, the paper's 10, over prompts.
        smoothing: ν, the default of the authors' code.
        seed: of the draw, the folds, the projection, the adapters and the resampling.
        bootstrap_iters: resamples of the prompts.
        apply_chat_template: as of `score`.

    Raises:
        ConfigError: a number that is too small or too large, an unknown choice.
        StudentError: a model or tokenizer that gradients cannot be taken of, or no memory.
        DataError: too few prompts, or a row that the chat template does not take.
    """
    check_options(
        prompts, samples, parameters, dimension, projection, folds, smoothing, seed, bootstrap_iters
    )
    plain = reads_plain(tokenizer, apply_chat_template)
    check_tokenizer(tokenizer)
    drawn = draw(
        teacher_set, Renderer(tokenizer, plain, strict=False), prompts=prompts, samples=samples,
        context=context_of(model.config), seed=seed,
    )  # fmt: skip
    if len(drawn.prompt_ids) < folds:
        reasons = ", ".join(f"{n} left out: {reason}" for reason, n in drawn.left_out.items())
        raise DataError(
            "fewer prompts with a response of every teacher than folds", where=teacher_set.name,
            found=f"{plural(len(drawn.prompt_ids), 'prompt')} for {folds} folds"
            + (f"; {reasons}" if reasons else ""),
            remedy="take fewer folds (2 at least), or leave out the teacher that has few responses",
        )  # fmt: skip
    tokens = [len(row.read) for row in drawn.rows]
    _announce(drawn.rows, len(drawn.prompt_ids), sum(tokens), parameters)
    start = time.perf_counter()
    with differentiated(model, parameters, seed) as leaves:
        reader = _Reader(model, leaves, projection, dimension, seed)
        shown = bar_over(drawn.rows, "Gradients", " responses", shown=True)
        found = [reader.read(row) for row in shown]
    seconds = time.perf_counter() - start
    problems = Counter(one for one in found if isinstance(one, str))
    # A prompt counts for all teachers or for none.
    bad = {row.prompt for row, one in zip(drawn.rows, found, strict=True) if isinstance(one, str)}
    kept = [place for place in range(len(drawn.prompt_ids)) if place not in bad]
    left = [
        (row, one)
        for row, one in zip(drawn.rows, found, strict=True)
        if row.prompt not in bad and not isinstance(one, str)
    ]
    of_teacher = {
        teacher: [(row, one) for row, one in left if row.teacher == teacher]
        for teacher in teacher_set.teachers
    }
    return GradientScores(
        task=teacher_set.name,
        student=str(getattr(model.config, "_name_or_path", "") or type(model).__name__),
        teachers=_figures(of_teacher, kept, folds, smoothing, seed, bootstrap_iters),
        parameters=parameters,
        size=reader.projection.size,
        projection=projection,
        dimension=dimension,
        folds=folds,
        smoothing=smoothing,
        seed=seed,
        prompts=tuple(drawn.prompt_ids[place] for place in kept),
        left_out={**drawn.left_out, **problems},
        tokens=sum(tokens),
        seconds=seconds,
    )


def check_options(
    prompts: int, samples: int, parameters: str, dimension: int, projection: str, folds: int,
    smoothing: float, seed: int, bootstrap_iters: int,
) -> None:  # fmt: skip
    """Refuse numbers and choices of `gradient_scores`, before anything is loaded (ConfigError)."""
    for name, value, least in (
        ("prompts", prompts, 2), ("samples", samples, 1), ("dimension", dimension, 1),
        ("folds", folds, 2),
    ):  # fmt: skip
        if value < least:
            raise ConfigError(
                f"this must be {least} or more", where=f"gradients: {name}", found=value
            )
    if dimension > LARGEST:
        raise ConfigError(
            f"this must be {LARGEST} or less", where="gradients: dimension", found=dimension,
            remedy="512 is the paper's",
        )  # fmt: skip
    if prompts < folds:
        raise ConfigError(
            "a fold holds a prompt at least", where="gradients: folds",
            found=f"{folds} folds of {plural(prompts, 'prompt')}",
            remedy="take more prompts or fewer folds",
        )  # fmt: skip
    if not (math.isfinite(smoothing) and smoothing > 0):
        raise ConfigError("this must be above 0", where="gradients: smoothing", found=smoothing)
    for name, chosen, choices in (
        ("parameters", parameters, PARAMETERS), ("projection", projection, KINDS)
    ):  # fmt: skip
        if chosen not in choices:
            raise ConfigError(
                "no such choice", where=f"gradients: {name}", found=chosen,
                remedy=did_you_mean(str(chosen), choices),
            )  # fmt: skip
    check_resampling(bootstrap_iters, seed)


def _announce(rows: Sequence[DrawnRow], prompts: int, tokens: int, parameters: str) -> None:
    """One line of what will be read, and what is to be said of the rows."""
    for note, count in count_warned(row.tokens for row in rows).items():
        _log.warning("%d of %d responses: %s", count, len(rows), visible(note))
    passes = "forward" if parameters == "last_layer" else "forward and backward"
    print_line(
        f"plan: {plural(prompts, 'prompt', separator=',')}, "
        f"{plural(len({row.teacher for row in rows}), 'teacher')}, "
        f"{plural(len(rows), 'response', separator=',')}, {tokens:,} tokens to read {passes}"
    )


class _Reader:
    """Takes the gradient of one response after another."""

    def __init__(
        self, model: Any, leaves: list[torch.Tensor], kind: Kind, dimension: int, seed: int
    ) -> None:
        # One row at a time, as the engine's batched pass would read it.
        engine = Engine(model, path="batched")
        self._projector, self._vocabulary = engine.projector, engine.vocabulary
        self._device = next(model.parameters()).device
        self._leaves = leaves
        self.projection = Projection(kind, dimension, sum(leaf.numel() for leaf in leaves), seed)

    def read(self, row: DrawnRow) -> Floats | str:
        """h = log |y| · Π g, shape (d,), or why it is not defined."""
        check_ids((row.read, row.targets), self._vocabulary)
        inputs_1L = torch.from_numpy(row.read)[None].to(self._device)
        where_N, targets_N = (
            torch.from_numpy(one).to(self._device) for one in (row.at, row.targets)
        )
        try:
            _, logits_NV = self._projector.run(
                {"input_ids": inputs_1L, "use_cache": False}, where_N, len(row.targets)
            )
            loss = torch.nn.functional.cross_entropy(logits_NV, targets_N)
            # Zeros for a weight that the response does not reach, such as an expert's.
            gradients = torch.autograd.grad(loss, self._leaves, materialize_grads=True)
            projected_d = self.projection(gradients)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise StudentError(
                "no memory for the gradient of a response", where=row.where,
                found=f"{len(row.read)} tokens",
                remedy="choose fewer parameters (last_layer, lora), or a device with more memory",
            ) from error  # fmt: skip
        h_d: Floats = math.log(len(row.targets)) * projected_d
        if not np.isfinite(h_d).all():
            return NOT_FINITE
        return h_d if h_d.any() else ZERO


def _figures(
    of_teacher: dict[str, list[tuple[DrawnRow, Floats]]], kept: Sequence[int], folds: int,
    smoothing: float, seed: int, iters: int,
) -> tuple[TeacherGradients, ...]:  # fmt: skip
    """Every teacher's figures from its rows at the kept prompts."""
    reason = ""
    if len(kept) < folds:
        reason = f"{plural(len(kept), 'prompt')} left for {folds} folds"
    fold_P = dict(zip(kept, folds_of(len(kept), folds, seed), strict=True))
    parts: dict[str, Grace] = {}
    values_PT = np.zeros((len(kept), len(of_teacher)))
    weights_P = np.zeros(len(kept))
    for column, (teacher, rows) in enumerate(of_teacher.items()):
        if reason:
            continue
        fold_N = np.array([fold_P[row.prompt] for row, _ in rows])
        parts[teacher] = grace(np.stack([h_d for _, h_d in rows]), fold_N, smoothing)
        weights_N = weights(fold_N)
        place_N = np.searchsorted(kept, [row.prompt for row, _ in rows])
        np.add.at(values_PT[:, column], place_N, weights_N * parts[teacher].norms_N)
        # The same for all teachers, who have the same number of responses to a prompt.
        weights_P[:] = np.bincount(place_N, weights_N, len(kept))
    scores_T = values_PT.sum(axis=0)
    columns_PC = np.column_stack([values_PT, weights_P])
    means_BC = resampled_means(columns_PC, 0 if reason else iters, seed)
    scores_BT = means_BC[:, :-1] / means_BC[:, -1:]
    low_T, high_T = intervals(scores_BT)
    standings = ranks(-scores_BT)
    found = []
    for column, (teacher, rows) in enumerate(of_teacher.items()):
        own = parts.get(teacher)
        h_Nd = np.stack([h_d for _, h_d in rows]) if rows else None
        found.append(
            TeacherGradients(
                teacher=teacher,
                grace=float(scores_T[column]) if own else math.nan,
                low=float(low_T[column]),
                high=float(high_T[column]),
                first_in=standings.share_best(column),
                variance=own.variance if own else math.nan,
                bias=own.bias if own else math.nan,
                g_norm=g_norm(h_Nd) if h_Nd is not None else math.nan,
                g_vendi=g_vendi(h_Nd) if h_Nd is not None else math.nan,
                responses=len(rows),
                tokens=sum(len(row.targets) for row, _ in rows),
                reason=reason,
            )
        )
    return tuple(found)
