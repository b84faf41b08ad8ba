"""Sums of unit vectors of the last layer's up-projection, taken as the model reads.

What SCAS (arXiv 2605.26872) needs of them is ‖mean unit vector‖² and the dot product of two such
means, so one sum a run is kept, and never tokens × tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from lnat_plugins.engine.types import Ids

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
