"""What reading costs: floating-point operations of a student's matrix products, and GPU hours.

    FLOP = 2 N t + 4 L H a + 2 D V s

for t tokens read, a pairs of a token and one that it attends to, and s positions projected to the
vocabulary; N weights of the layers' matrices that a token passes through, L attention layers of
width H (heads times the size of a head), D the width of the student and V its vocabulary. A
product of an (m, k) and a (k, n) matrix counts 2 m k n. Left out is what is small beside them:
embeddings, norms, softmax, activations (Kaplan et al., arXiv 2001.08361, section 2.1, count so
too). Nothing is trained, so there is no backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lnat_plugins.engine.planning import Planned
from lnat_plugins.errors import ConfigError, did_you_mean
from lnat_plugins.formatting import duration

PEAKS: Final[Mapping[str, float]] = {
    "A100": 312e12,
    "L40S": 362e12,
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
}
"""GPU -> dense bfloat16 operations a second, as its maker names them (the SXM or HGX model)."""

SHARE: Final = 0.45
"""Of the peak: what a student of 7 B parameters reached on an H100 (docs/performance.md)."""

LARGE: Final = 1_000_000_000
"""Weights from which on that share is likely: one of 0.5 B reached .12."""


@dataclass(frozen=True)
class Shape:
    """What of a causal language model decides the work of a token.

    Attributes:
        weights: N, of the layers' matrices that a token passes through; of a mixture of experts
            those of the experts that it is sent to.
        layers, attention: L and H of the layers with attention over all earlier tokens.
        width, vocabulary: D and V.
    """

    weights: int
    layers: int
    attention: int
    width: int
    vocabulary: int

    @classmethod
    def of_model(cls, model: Any) -> Shape:
        """Of a model of transformers, on any device; the meta device will do."""
        from torch import nn

        config = model.config.get_text_config(decoder=True)
        outside = {
            id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)
        }
        head = model.get_output_embeddings()
        if head is not None:
            outside.add(id(head.weight))
        weights = sum(
            _passed(parameter, config)
            for parameter in model.parameters()
            if parameter.ndim >= 2 and id(parameter) not in outside
        )
        heads = config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads
        kinds = getattr(config, "layer_types", None) or ["full_attention"]
        share = sum("attention" in kind and "linear" not in kind for kind in kinds) / len(kinds)
        return cls(
            weights=round(weights),
            layers=round(config.num_hidden_layers * share),
            attention=heads * size,
            width=config.hidden_size,
            vocabulary=config.vocab_size,
        )

    @classmethod
    def of_config(cls, config: Any) -> Shape:
        """Of a configuration of transformers; no weight is made."""
        import torch
        from transformers import AutoModelForCausalLM

        with torch.device("meta"):
            return cls.of_model(AutoModelForCausalLM.from_config(config))  # type: ignore[no-untyped-call]


def _passed(parameter: Any, config: Any) -> float:
    """Weights of a matrix that a token passes through; of experts only those it is sent to."""
    experts = next(
        (
            int(found)
            for name in ("num_local_experts", "num_experts", "n_routed_experts")
            if (found := getattr(config, name, None))
        ),
        0,
    )
    if experts and parameter.ndim == 3 and parameter.shape[0] == experts:
        return float(parameter.numel() * config.num_experts_per_tok / experts)
    return float(parameter.numel())


@dataclass(frozen=True)
class Cost:
    """What scoring reads, and what that takes.

    Attributes:
        planned: tokens.
        flop: floating-point operations of the student's matrix products.
        gpu, gpus: kind and number.
        share: of the GPUs' peak that is reached.
        large: whether the student has as many weights as `share` was measured for, `LARGE` at
            least.
    """

    planned: Planned
    flop: float
    large: bool
    gpu: str
    gpus: int
    share: float

    @property
    def tokens(self) -> int:
        """Tokens to be read."""
        return self.planned.tokens

    @property
    def gpu_hours(self) -> float:
        """Of all GPUs together."""
        return self.flop / (PEAKS[self.gpu] * self.share) / 3600

    @property
    def hours(self) -> float:
        """Until all is done, if every GPU has the same work."""
        return self.gpu_hours / self.gpus

    def in_words(self) -> str:
        """One line; of small students, which keep no GPU busy, without the time."""
        work = f"{self.flop:.2g} floating-point operations in matrix products"
        if not self.large:
            return work
        of = f"one {self.gpu}" if self.gpus == 1 else f"{self.gpus} {self.gpu}"
        return f"{work}: {duration(3600 * self.hours)} on {of} at {self.share:.0%} of its peak"


def cost_of(
    planned: Planned, shape: Shape, *, gpu: str = "H100", gpus: int = 1, share: float = SHARE
) -> Cost:
    """What it costs to read these tokens.

    Args:
        planned: with `projected_tokens` and `attended`.
        gpu: a name in `PEAKS`.
        share: of the peak that is reached, above 0 and at most 1.

    Raises:
        ConfigError: an unknown GPU, or numbers that make no sense.
    """
    if gpu not in PEAKS:
        raise ConfigError("unknown GPU", found=gpu, remedy=did_you_mean(gpu, PEAKS))
    if gpus < 1 or not 0 < share <= 1:
        raise ConfigError(
            "there is at least one GPU, and the share of its peak is above 0 and at most 1",
            found=f"{gpus} GPUs, a share of {share}",
        )
    flop = (
        2 * shape.weights * planned.tokens
        + 4 * shape.layers * shape.attention * planned.attended
        + 2 * shape.width * shape.vocabulary * planned.projected_tokens
    )
    return Cost(planned, float(flop), shape.weights >= LARGE, gpu, gpus, share)
