"""The floor: the least that reading so many tokens and projecting so many positions can take.

Knows nothing of windows and steps. Dense causal forwards of the student's body, in the best of
several row shapes, and its output embedding with a float32 log-softmax pick at as many positions.
No prompt, no cache, no padding, no planning. Left out, and so part of what a contender adds:
reading the prompt, and every token's attention to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import torch
from _clock import timed
from _contenders import Contender, Sums
from _workloads import Planned, Workload
from torch import Tensor

from lnat_plugins.engine.types import Counts

_CUTS: Final = (1, 4, 16)
_LOGITS: Final = (2**26, 2**28)
_TRIES: Final = 3


class Shape(NamedTuple):
    """How the floor reads: `rows` rows of `length` tokens, `chunk` positions projected at once."""

    rows: int
    length: int
    chunk: int


class Floor:
    """The student's body and output embedding, run on ids that stand for any others."""

    def __init__(self, workload: Workload, seed: int) -> None:
        model = workload.model.eval()
        self._body = model.get_decoder()
        self._head = model.get_output_embeddings()
        self._device = next(model.parameters()).device
        self._random = torch.Generator().manual_seed(seed)
        self.vocabulary = int(self._head.weight.shape[0])

    @torch.no_grad()
    def read(self, rows: int, length: int) -> Tensor:
        """One dense forward; last hidden states, shape (rows * length, hidden)."""
        ids_BL = torch.randint(1, self.vocabulary, (rows, length), generator=self._random)
        out = self._body(input_ids=ids_BL.to(self._device), use_cache=False)
        hidden: Tensor = out.last_hidden_state
        return hidden.flatten(0, 1)

    @torch.no_grad()
    def project(self, hidden: Tensor, n: int, chunk: int) -> Tensor:
        """The sum of `n` picked log-probabilities, on the device."""
        where_N = torch.arange(n, device=self._device) % len(hidden)
        picked = [torch.zeros(1, device=self._device)]
        for part in torch.split(where_N, chunk):
            logits_NV = self._head(hidden[part]).float()
            picked.append(logits_NV[:, 1] - logits_NV.logsumexp(-1))
        return torch.cat(picked).sum()


def best_shape(workload: Workload, budget: int, seed: int) -> Shape:
    """The fastest rows of about `budget` tokens, and the fastest projection of them."""
    floor = Floor(workload, seed)
    device = str(workload.model.device)
    shapes = [(cut, budget // cut) for cut in _CUTS if budget // cut]

    def seconds(run: Callable[[], object]) -> float:
        return min(timed(run, device)[0].wall for _ in range(_TRIES))

    rows, length = min(shapes, key=lambda one: seconds(lambda: floor.read(*one)))
    hidden = floor.read(rows, length)
    chunks = {min(len(hidden), max(1, size // (4 * floor.vocabulary))) for size in _LOGITS}
    chunk = min(
        sorted(chunks), key=lambda n: seconds(lambda: floor.project(hidden, len(hidden), n))
    )
    return Shape(rows, length, chunk)


def passes(tokens: int, shape: Shape) -> Iterator[tuple[int, int]]:
    """Rows and length of each forward; together exactly `tokens`."""
    for _ in range(tokens // (shape.rows * shape.length)):
        yield shape.rows, shape.length
    left = tokens % (shape.rows * shape.length)
    if left >= shape.length:
        yield left // shape.length, shape.length
    if left % shape.length:
        yield 1, left % shape.length


def floor_of(workload: Workload, planned: Planned, shape: Shape, seed: int) -> Contender:
    """The floor beneath a pass that reads and projects what `planned` says."""
    plan = list(passes(planned.body_tokens, shape)) or [(1, 1)]
    counts = Counts(
        forwards=len(plan),
        body_tokens=sum(rows * length for rows, length in plan),
        projected_tokens=planned.projected_tokens,
    )

    def run() -> Sums:
        floor = Floor(workload, seed)
        read = done = 0
        sums = []
        for rows, length in plan:
            hidden = floor.read(rows, length)
            read += len(hidden)
            due = planned.projected_tokens * read // counts.body_tokens
            sums.append(floor.project(hidden, due - done, shape.chunk))
            done = due
        float(sum(sums))  # on the host, so that nothing is left to do on the device
        return {}

    note = f"rows {shape.rows} × {shape.length}, {shape.chunk} positions projected at once"
    return Contender("floor", "floor", counts, lambda: run, note=note)
