"""The contenders on one workload: timed in turns, measured in memory, their sums held together.

Knows nothing of how figures are printed.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Final

import psutil  # type: ignore[import-untyped]
import torch
from _arguments import LENGTHS_CONTENDERS
from _clock import take_turns
from _contenders import PATHS, Contender, Sums, ours
from _floor import Shape, best_shape, floor_of
from _lm_eval import Asked, ask, baseline, by_ids, logits_bytes, sample
from _memory import Job, peak_memory
from _recipes import Recipe
from _report import Agreement, Comparison, Line
from _workloads import Key, Workload

from lnat_plugins.engine.engine import default_budget
from lnat_plugins.errors import ConfigError
from lnat_plugins.steps.windows import Window, parse_windows

TOLERANCE: Final = 1e-3
HALF_TOLERANCE: Final = 0.02
CHECKED: Final = 4
"""Requests that lm-eval answers for the comparison of sums alone, where it does not contend."""


class Bench:
    """Compares contenders as the options say.

    Args:
        args: what `parse_arguments` returns.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.tolerance = TOLERANCE if args.dtype == "float32" else HALF_TOLERANCE

    def agrees(self, agreement: Agreement) -> bool:
        """Whether sums that should be equal are."""
        is_full = self.args.dtype == "float32"
        return (agreement.largest if is_full else agreement.by_token) < self.tolerance

    def compare(self, recipe: Recipe) -> Iterator[Comparison]:
        """One comparison for each window set."""
        args = self.args
        workload = recipe.build()
        shape = Shape(1, 1, 1)
        if "floor" in args.contenders:
            budget = args.token_budget or default_budget(workload.model.device, workload.model)
            shape = best_shape(workload, budget, args.seed)
        is_lengths = workload.kind == "lengths"
        for names in args.lengths_windows if is_lengths else args.windows:
            print(f"Timing {workload.name}, windows {names}", file=sys.stderr, flush=True)
            windows = parse_windows(names.split(","))
            yield self._compare(recipe, workload, names, windows, shape)

    def _compare(
        self,
        recipe: Recipe,
        workload: Workload,
        names: str,
        windows: Sequence[Window],
        shape: Shape,
    ) -> Comparison:
        args = self.args
        asked = ask(workload, workload.requests(windows))
        contenders, left_out = self._contenders(workload, windows, asked, shape)
        watched = workload.layers if workload.stretch != 1 else ()
        readings, sums = take_turns(contenders, args.repeats, args.patience, args.device, watched)
        agreement = self._agreement(workload, asked, contenders, sums)
        lines = tuple(
            Line(
                workload=workload.name,
                kind=one.kind,
                windows=names,
                contender=one.name,
                trace_tokens=workload.trace_tokens,
                **vars(one.counts),
                readings=tuple(readings[one.name]),
                share=one.share,
                scale=one.scale,
                layers=len(workload.layers),
                all_layers=workload.all_layers or len(workload.layers),
                flops=workload.flops,
                memory=self._memory(recipe, workload.kind, windows, one, shape),
                note=one.note,
            )
            for one in contenders
        )
        return Comparison(workload.kind, workload.note, lines, agreement, tuple(left_out))

    def _contenders(
        self, workload: Workload, windows: Sequence[Window], asked: Asked, shape: Shape
    ) -> tuple[list[Contender], list[str]]:
        args = self.args
        kinds = [
            kind
            for kind in args.contenders
            if workload.kind != "lengths" or kind in LENGTHS_CONTENDERS
        ]
        found: list[Contender] = []
        left_out: list[str] = []
        if "lm_eval" in kinds:
            most = (args.baseline_gib or _free_gib(args.device) / 2) * 2**30
            for size in args.batch_sizes:
                needed = logits_bytes(workload, asked, size)
                if needed > most and size > 1:
                    left_out.append(
                        f"lm-eval hf, batch {size} is left out: its logits take"
                        f" {needed / 2**30:.1f} GiB, and {most / 2**30:.1f} are allowed"
                    )
                    continue
                timed = sample(asked, size, args.baseline_tokens, args.seed)
                found.append(baseline(workload, asked, timed, size))
        if "plain" in kinds:
            found.append(ours(workload, windows, "plain", args.token_budget))
        if "fast" in kinds:
            try:
                found.append(ours(workload, windows, "fast", args.token_budget))
            except ConfigError as error:
                left_out.append(f"ours, fast is left out: {error}")
        if "floor" in kinds:
            found.append(floor_of(workload, workload.planned(windows), shape, args.seed))
        return found, left_out

    def _agreement(
        self,
        workload: Workload,
        asked: Asked,
        contenders: Sequence[Contender],
        sums: Mapping[str, Sums],
    ) -> Agreement:
        """Every sum of the same ids against ours, which cover all steps."""
        engines = [sums[one.name] for one in contenders if one.kind in PATHS]
        if not engines:
            return Agreement(0, 0.0, 0.0)
        lm_eval = [sums[one.name] for one in contenders if one.kind == "lm_eval"]
        if workload.is_text or not lm_eval:
            keys = set(lm_eval[0]) if lm_eval else set()
            few = [request for request in asked.requests if request.key in keys]
            right = [by_ids(workload, few or sample(asked, CHECKED, 1, self.args.seed))]
        else:
            right = lm_eval
        gaps = {
            (which, one, key): difference(value, engine[key])
            for one, engine in enumerate(engines)
            for which, other in enumerate([*right, engines[0]])
            if other is not engine
            for key, value in other.items()
        }
        found = Agreement(
            compared=len(set().union(*right)),
            largest=max(gaps.values()),
            by_token=sum(gap / _tokens(workload, key) for (*_, key), gap in gaps.items())
            / len(gaps),
            unanswered=asked.unanswered,
        )
        if workload.is_text and lm_eval:
            moves = [difference(value, right[0][key]) for key, value in lm_eval[0].items()]
            glued = sum(move > self.tolerance for move in moves)
            found = Agreement(
                found.compared, found.largest, found.by_token, glued, max(moves), asked.unanswered
            )
        return found

    def _memory(
        self,
        recipe: Recipe,
        kind: str,
        windows: Sequence[Window],
        contender: Contender,
        shape: Shape,
    ) -> int | None:
        if kind not in self.args.memory:
            return None
        job = Job(
            recipe=recipe,
            windows=tuple(windows),
            kind=contender.kind,
            threads=self.args.threads,
            budget=self.args.token_budget,
            batch_size=contender.batch_size,
            shape=shape,
            seed=self.args.seed,
        )
        print(f"Measuring the memory of {contender.name}", file=sys.stderr, flush=True)
        try:
            return peak_memory(job)
        except BrokenProcessPool:
            print("The process was ended from outside; no figure.", file=sys.stderr)
            return None


def difference(a: float, b: float) -> float:
    """|a - b|, infinite where either is no number."""
    gap = abs(a - b)
    return gap if math.isfinite(gap) else math.inf


def _tokens(workload: Workload, key: Key) -> int:
    return workload.traces[key.trace].response.tokens_per_step[key.pair.step]


def _free_gib(device: str) -> float:
    free = torch.cuda.mem_get_info()[0] if device.startswith("cuda") else None
    return (psutil.virtual_memory().available if free is None else free) / 2**30
