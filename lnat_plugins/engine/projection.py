"""From the model's last hidden states to the numbers of tokens, at the scored positions only.

The vocabulary projection is the largest tensor of a scoring pass. Here the model runs as
it is, but a hook on its output embedding replaces the hidden states by the few that are
asked for. Where the model does nothing after that projection (proved once, by comparing
its own logits with the projection alone) the rows are projected in chunks; where it
scales or caps its logits afterwards, its own code does so, unchunked.

From logits to the numbers of each token: its log-probability and what else is wanted of it.

Knows nothing of models. In float32 whatever the dtype of the logits.

Sums of unit vectors of the last layer's up-projection, taken as the model reads.

What SCAS (arXiv 2605.26872) needs of them is ‖mean unit vector‖² and the dot product of two such
means, so one sum a run is kept, and never tokens × tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from lnat_plugins.engine.types import BRIER_TOP, RANK_CAP, Ids
from lnat_plugins.errors import StudentError

CHUNK_BYTES = 64 * 2**20


class Projector:
    """Runs a causal model and measures the tokens at chosen positions.

    Shapes: B rows, L positions, N chosen positions, V vocabulary. Log-softmax is
    taken in float32 whatever the model's dtype.
    """

    def __init__(self, model: Any) -> None:
        head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
        if not isinstance(head, nn.Module):
            raise StudentError(
                "the model has no output embedding to read log-probabilities from",
                found=type(model).__name__,
                remedy="use a causal language model",
            )
        self._model = model
        self._head = head
        self._plain = self._head_is_all()

    def measure(
        self,
        inputs: Mapping[str, Any],
        where_N: Tensor,
        targets_N: Tensor,
        names: Sequence[str] = (),
    ) -> Tensor:
        """Log-probability and S statistics of each target, shape (1 + S, N), float32.

        Args:
            inputs: keyword arguments of the model's forward.
            where_N: positions in the flattened (B * L) hidden states.
            targets_N: the token to be predicted at each.
            names: the statistics, see `_measure`.
        """
        if not self._plain:
            _, logits_NV = self._run(inputs, where_N, where_N.numel())
            return measure(logits_NV, targets_N, names)
        hidden_NH, _ = self._run(inputs, where_N, 1)
        return self._project(hidden_NH, targets_N, names)

    def log_softmax(self, inputs: Mapping[str, Any], where: Tensor) -> Tensor:
        """The whole distribution at one position, shape (V,), float32."""
        _, logits_1V = self._run(inputs, where.reshape(1), 1)
        return logits_1V[0].float().log_softmax(-1)

    def _project(self, hidden_NH: Tensor, targets_N: Tensor, names: Sequence[str]) -> Tensor:
        rows = max(1, CHUNK_BYTES // (4 * self._vocabulary()))
        parts = [
            measure(self._head(hidden), targets, names)
            for hidden, targets in zip(
                torch.split(hidden_NH, rows), torch.split(targets_N, rows), strict=True
            )
        ]
        return torch.cat(parts, dim=-1)

    def _vocabulary(self) -> int:
        weight = getattr(self._head, "weight", None)
        return int(weight.shape[0]) if isinstance(weight, Tensor) else 2**17

    def _head_is_all(self) -> bool:
        """Whether the model's logits are its output embedding's, with nothing after it."""
        device = next(self._model.parameters()).device
        ids_12 = torch.tensor([[0, 1]], device=device)
        where_2 = torch.arange(2, device=device)
        hidden_2H, logits_2V = self._run({"input_ids": ids_12, "use_cache": False}, where_2, 2)
        alone_2V = self._head(hidden_2H)
        return alone_2V.shape == logits_2V.shape and torch.equal(
            alone_2V.float(), logits_2V.float()
        )

    def _run(self, inputs: Mapping[str, Any], where_N: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        """One forward: hidden states at all N positions, logits at the first `keep` of them."""
        captured: list[Tensor] = []
        length = inputs["input_ids"].shape[1]

        def gather(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            if args[0].ndim == 3 and args[0].shape[1] != length:
                raise StudentError(
                    "the model puts tokens of its own before the text, as prompt tuning does",
                    found=f"{args[0].shape[1]} positions for {length} tokens",
                    remedy="score it without its virtual tokens, or tune it in another way",
                )
            hidden_NH = args[0].reshape(-1, args[0].shape[-1])[where_N.to(args[0].device)]
            captured.append(hidden_NH)
            return (hidden_NH[:keep].unsqueeze(0), *args[1:])

        handle = self._head.register_forward_pre_hook(gather)
        try:
            logits = self._model(**inputs).logits
        finally:
            handle.remove()
        if len(captured) != 1:
            raise StudentError(
                "the model does not read its logits from its output embedding once per pass",
                found=type(self._model).__name__,
                remedy="score it through another back end of lm-eval",
            )
        return captured[0], logits[0]


_BLOCK_BYTES: Final = 4 * 2**20
"""Rows at once on a CPU: larger temporaries fall out of its cache and cost thrice as much."""
_LEAST: Final = -1e4
"""A log-probability whose probability is 0 in float32; stands for −inf, which 0 cannot multiply."""


def measure(logits_NV: Tensor, targets_N: Tensor, names: Sequence[str]) -> Tensor:
    """Shape (1 + S, N): log p of each target, then the S statistics in the order of `names`.

    Args:
        logits_NV: N distributions over a vocabulary of V.
        targets_N: the token that stands there.
        names: of `statistics_names.TOKEN`.
    """
    rows = max(1, _BLOCK_BYTES // (4 * logits_NV.shape[-1]))
    if logits_NV.device.type != "cpu" or len(logits_NV) <= rows:
        return _measure(logits_NV, targets_N, names)
    blocks = zip(torch.split(logits_NV, rows), torch.split(targets_N, rows), strict=True)
    return torch.cat([_measure(*block, names) for block in blocks], dim=-1)


def _measure(logits_NV: Tensor, targets_N: Tensor, names: Sequence[str]) -> Tensor:
    logits_NV = logits_NV.float()
    targets_N1 = targets_N.to(logits_NV.device).unsqueeze(-1)
    gold_N1 = logits_NV.gather(-1, targets_N1)
    lse_N1 = logits_NV.logsumexp(-1, keepdim=True)
    found = {"": (gold_N1 - lse_N1).squeeze(-1)}
    if "capped_rank" in names:
        above_N = (logits_NV > gold_N1).sum(-1)
        found["capped_rank"] = (1 + above_N).clamp_(max=RANK_CAP).float()
    if "entropy" in names or "brier" in names:
        logp_NV = (logits_NV - lse_N1).clamp_(min=_LEAST)
        p_NV = logp_NV.exp()
        found["entropy"] = -torch.linalg.vecdot(p_NV, logp_NV)
        gold_p_N = found[""].exp()
        found["brier"] = 1 - 2 * gold_p_N + torch.linalg.vecdot(p_NV, p_NV)
    if "brier_top50" in names:
        found["brier_top50"] = _brier_of_top(logits_NV, targets_N1)
    return torch.stack([found[name] for name in ("", *names)])


def _brier_of_top(logits_NV: Tensor, targets_N1: Tensor) -> Tensor:
    top_NK, place_NK = logits_NV.topk(min(BRIER_TOP, logits_NV.shape[-1]), dim=-1)
    p_NK = top_NK.softmax(-1)
    gold_p_N = torch.where(place_NK == targets_N1, p_NK, 0).sum(-1)
    brier_N: Tensor = 1 - 2 * gold_p_N + torch.linalg.vecdot(p_NK, p_NK)
    return brier_N


_PLACE: Final = re.compile(r"(?:^|\.)layers\.(\d+)\.mlp\.up_proj$")


def last_up_projection(model: nn.Module) -> nn.Module | None:
    """`mlp.up_proj` of the model's last layer; None if that layer has none of that name."""
    config: Any = getattr(model, "config", None)
    layers = config.get_text_config(decoder=True).num_hidden_layers if config is not None else 0
    module: nn.Module
    for name, module in model.named_modules():
        place = _PLACE.search(name)
        if place and int(place[1]) == layers - 1:
            return module
    return None


class UnitSums:
    """Σ u of several runs, where it is wanted.

    Args:
        module: whose outputs are summed, shape (B, L, I); None if there is none.
    """

    def __init__(self, module: nn.Module | None) -> None:
        self._module = module
        self._sums_RI: list[Tensor | None] = []

    @property
    def possible(self) -> bool:
        """Whether the model has what is summed."""
        return self._module is not None

    @contextmanager
    def collected(self, runs: int) -> Iterator[list[Tensor]]:
        """A list that holds the sum of each of so many runs at the end; empty for none.

        Shape (I,) each, float64, on the CPU.
        """
        before, self._sums_RI = self._sums_RI, [None] * runs
        found: list[Tensor] = []
        try:
            yield found
            found += [one if one is not None else torch.zeros(1) for one in self._sums_RI]
        finally:
            self._sums_RI = before

    @contextmanager
    def adding(self, run_of_N: Ids) -> Iterator[None]:
        """While the model reads B × L = N tokens, add each one's unit vector to its run's sum.

        Args:
            run_of_N: the run of each token, row by row; −1 = none.
        """
        if self._module is None or not self._sums_RI:
            yield
            return
        handle = self._module.register_forward_hook(
            lambda _module, _args, output: self._add(output, torch.from_numpy(run_of_N))
        )
        try:
            yield
        finally:
            handle.remove()

    def _add(self, output: Tensor, run_of_N: Tensor) -> None:
        kept_M = (run_of_N >= 0).nonzero().squeeze(-1).to(output.device)
        values_MI = output.reshape(-1, output.shape[-1])[kept_M].float()
        unit_MI = nn.functional.normalize(values_MI, dim=-1)
        sums_RI = unit_MI.new_zeros(len(self._sums_RI), unit_MI.shape[-1])
        sums_RI.index_add_(0, run_of_N.to(output.device)[kept_M], unit_MI)
        for run, added_I in enumerate(sums_RI.double().cpu()):
            known_I = self._sums_RI[run]
            self._sums_RI[run] = added_I if known_I is None else known_I + added_I
