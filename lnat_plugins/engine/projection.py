"""From hidden states to numbers of tokens: log-probabilities, statistics, and activation sums.

The logits of all positions would be the largest tensor of a pass. So the model runs as it is, but
a hook on its output embedding keeps only the hidden states of the scored positions. Where the
model's logits are that projection and nothing more (checked once), they are made in chunks; where
the model scales or caps its logits afterwards, its own code does so, unchunked.

Shapes: B rows, L positions, N scored positions, H hidden size, V vocabulary, S statistics, I inner
size of the feed-forward block, R runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from lnat_plugins.engine.types import BRIER_TOP, RANK_CAP, TEMPERED, Ids
from lnat_plugins.errors import StudentError

CHUNK_BYTES: Final = 64 * 2**20
"""Logits made at once, as float32."""
BLOCK_BYTES: Final = 4 * 2**20
"""Logits measured at once on a CPU: larger temporaries leave its cache and take thrice as long."""
_LOGP_FLOOR: Final = -1e4
"""Stands for log p = −inf, which cannot be multiplied by p = 0; exp of it is 0 in float32."""


class Projector:
    """Runs a causal model and measures the tokens at chosen positions.

    Raises:
        StudentError: the model has no output embedding, or does not use it once a pass.
    """

    def __init__(self, model: Any) -> None:
        head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
        if not isinstance(head, nn.Module):
            raise StudentError(
                "the model has no output embedding to read log-probabilities from",
                found=type(model).__name__, remedy="use a causal language model",
            )  # fmt: skip
        self._model = model
        self._head = head
        self._head_is_last = self._compare_head()

    def measure(
        self, inputs: Mapping[str, Any], where_N: Tensor, targets_N: Tensor,
        names: Sequence[str] = (),
    ) -> Tensor:  # fmt: skip
        """The function `measure` of one forward, shape (1 + S, N), float32.

        Args:
            inputs: keyword arguments of the model's forward.
            where_N: positions in the flattened (B * L) hidden states.
            targets_N: the token to be predicted at each.
            names: the statistics, of `types.TOKEN`.
        """
        if not self._head_is_last:
            _, logits_NV = self.run(inputs, where_N, where_N.numel())
            return measure(logits_NV, targets_N, names)
        chunks = zip(self.logits(inputs, where_N), torch.split(targets_N, self.rows), strict=True)
        return torch.cat([measure(logits, targets, names) for logits, targets in chunks], dim=-1)

    @property
    def rows(self) -> int:
        """Positions whose logits are made at once."""
        weight = getattr(self._head, "weight", None)
        vocabulary = weight.shape[0] if isinstance(weight, Tensor) else 2**17
        return max(1, CHUNK_BYTES // (4 * vocabulary))

    def logits(self, inputs: Mapping[str, Any], where_N: Tensor) -> Iterator[Tensor]:
        """The logits at these positions after one forward, `rows` of them at a time, (n, V)."""
        if not self._head_is_last:
            _, logits_NV = self.run(inputs, where_N, where_N.numel())
            yield from torch.split(logits_NV, self.rows)
            return
        hidden_NH, _ = self.run(inputs, where_N, 1)
        for hidden in torch.split(hidden_NH, self.rows):
            yield self._head(hidden)

    def log_softmax(self, inputs: Mapping[str, Any], where_N: Tensor) -> Tensor:
        """The whole distribution at each of these positions, shape (N, V), float32."""
        _, logits_NV = self.run(inputs, where_N, where_N.numel())
        return logits_NV.float().log_softmax(-1)

    def _compare_head(self) -> bool:
        """Whether the model's logits are its output embedding's, with nothing after it."""
        device = next(self._model.parameters()).device
        ids_12 = torch.tensor([[0, 1]], device=device)
        where_2 = torch.arange(2, device=device)
        hidden_2H, logits_2V = self.run({"input_ids": ids_12, "use_cache": False}, where_2, 2)
        alone_2V = self._head(hidden_2H)
        return alone_2V.shape == logits_2V.shape and torch.equal(
            alone_2V.float(), logits_2V.float()
        )

    def run(self, inputs: Mapping[str, Any], where_N: Tensor, keep: int) -> tuple[Tensor, Tensor]:
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


def measure(logits_NV: Tensor, targets_N: Tensor, names: Sequence[str]) -> Tensor:
    """Log p of each target, then its statistics in the order of `names`, shape (1 + S, N).

    In float32 whatever the dtype of the logits. The names are of `types.TOKEN`.
    """
    rows = max(1, BLOCK_BYTES // (4 * logits_NV.shape[-1]))
    if logits_NV.device.type == "cpu" and len(logits_NV) > rows:
        blocks = zip(torch.split(logits_NV, rows), torch.split(targets_N, rows), strict=True)
        return torch.cat([measure(*block, names) for block in blocks], dim=-1)
    logits_NV = logits_NV.float()
    targets_N1 = targets_N.to(logits_NV.device).unsqueeze(-1)
    gold_N1 = logits_NV.gather(-1, targets_N1)
    lse_N1 = logits_NV.logsumexp(-1, keepdim=True)
    found = {"": (gold_N1 - lse_N1).squeeze(-1)}
    if "capped_rank" in names:
        above_N = (logits_NV > gold_N1).sum(-1)
        found["capped_rank"] = (1 + above_N).clamp_(max=RANK_CAP).float()
    if "entropy" in names or "brier" in names:
        logp_NV = (logits_NV - lse_N1).clamp_(min=_LOGP_FLOOR)
        p_NV = logp_NV.exp()
        found["entropy"] = -torch.linalg.vecdot(p_NV, logp_NV)
        found["brier"] = 1 - 2 * found[""].exp() + torch.linalg.vecdot(p_NV, p_NV)
    if "top_probability" in names:
        found["top_probability"] = (logits_NV.amax(-1) - lse_N1.squeeze(-1)).exp()
    if "top_is_right" in names:
        found["top_is_right"] = (logits_NV.amax(-1, keepdim=True) <= gold_N1).squeeze(-1).float()
    for name, temperature in TEMPERED.items():
        if name in names:
            tempered_NV = logits_NV / temperature
            gold_N = (gold_N1 / temperature).squeeze(-1)
            found[name] = gold_N - tempered_NV.logsumexp(-1)
    if "brier_top50" in names:
        top_NK, token_NK = logits_NV.topk(min(BRIER_TOP, logits_NV.shape[-1]), dim=-1)
        p_NK = top_NK.softmax(-1)
        gold_p_N = torch.where(token_NK == targets_N1, p_NK, 0).sum(-1)
        found["brier_top50"] = 1 - 2 * gold_p_N + torch.linalg.vecdot(p_NK, p_NK)
    return torch.stack([found[name] for name in ("", *names)])


def last_up_projection(model: nn.Module) -> nn.Module | None:
    """`mlp.up_proj` of the model's last layer; None if that layer has none of that name."""
    config: Any = getattr(model, "config", None)
    layers = config.get_text_config(decoder=True).num_hidden_layers if config is not None else 0
    # A search by name: wrappers such as PEFT's put a prefix before it.
    path = re.compile(rf"(?:^|\.)layers\.{layers - 1}\.mlp\.up_proj$")
    return next((module for name, module in model.named_modules() if path.search(name)), None)


class UnitSums:
    """Sums of unit vectors of a module's outputs, one sum a run, taken while the model reads.

    What SCAS (arXiv 2605.26872) needs is ‖mean unit vector‖² and the dot product of two such
    means, so sums are enough and no tokens × tokens matrix is made.

    Args:
        module: whose outputs are summed, shape (B, L, I); None if there is none.
    """

    def __init__(self, module: nn.Module | None) -> None:
        self._module = module
        self._sums_RI = torch.zeros(0, 1)

    @contextmanager
    def collected(self, runs: int) -> Iterator[list[Tensor]]:
        """A list that holds each run's sum at the end: shape (I,), float64, on the CPU."""
        # I is not known before the module's first output; the addition broadcasts.
        self._sums_RI = torch.zeros(runs, 1, dtype=torch.float64)
        found: list[Tensor] = []
        try:
            yield found
            found += self._sums_RI
        finally:
            self._sums_RI = torch.zeros(0, 1)

    @contextmanager
    def adding(self, run_of_N: Ids) -> Iterator[None]:
        """While the model reads B × L = N tokens, adds each one's unit vector to its run's sum.

        Args:
            run_of_N: the run of each token, row by row; −1 for none.
        """
        if self._module is None or not len(self._sums_RI):
            yield
            return
        runs_N = torch.from_numpy(run_of_N)

        def add(_module: nn.Module, _args: Any, output: Tensor) -> None:
            kept_M = (runs_N >= 0).nonzero().squeeze(-1).to(output.device)
            values_MI = output.reshape(-1, output.shape[-1])[kept_M].float()
            unit_MI = nn.functional.normalize(values_MI, dim=-1)
            added_RI = unit_MI.new_zeros(len(self._sums_RI), unit_MI.shape[-1])
            added_RI.index_add_(0, runs_N.to(output.device)[kept_M], unit_MI)
            self._sums_RI = self._sums_RI + added_RI.double().cpu()

        handle = self._module.register_forward_hook(add)
        try:
            yield
        finally:
            handle.remove()
