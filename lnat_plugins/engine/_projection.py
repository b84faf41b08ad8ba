"""From the model's last hidden states to the numbers of tokens, at the scored positions only.

The vocabulary projection is the largest tensor of a scoring pass. Here the model runs as
it is, but a hook on its output embedding replaces the hidden states by the few that are
asked for. Where the model does nothing after that projection (proved once, by comparing
its own logits with the projection alone) the rows are projected in chunks; where it
scales or caps its logits afterwards, its own code does so, unchunked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lnat_plugins.engine._measure import measure
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
