"""How much is read at once, and what running out of memory looks like."""

from __future__ import annotations

from typing import Any, Final

import torch

SMALLEST_BUDGET: Final = 32
_ON_CPU: Final = 512
_ON_GPU: Final = 16384
_SHARE: Final = 0.5
"""Of the free memory that a pass may plan for; the rest is for the prompt's cache, long runs, the
projection's chunk, and what the allocator cannot use."""
_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def default_budget(device: torch.device, model: Any) -> int:
    """Tokens in one pass when the user does not say: enough to keep the device busy.

    A CPU is busy with a few hundred tokens. A GPU with some thousand, as far as its free memory
    holds them; that is looked up once, so that the same passes follow.
    """
    if device.type != "cuda":
        return _ON_CPU
    free, _ = torch.cuda.mem_get_info(device)
    fitting = int(_SHARE * free / bytes_per_token(model))
    return max(SMALLEST_BUDGET, min(_ON_GPU, fitting))


def bytes_per_token(model: Any) -> int:
    """What one more token in a pass takes at its peak, beyond weights and cache.

    In a layer: its input, the residual and its norm, queries, keys, values and their copies by run,
    then gate, up-projection and their product; the last is the peak of gated students.
    """
    config = model.config.get_text_config(decoder=True)
    hidden = config.hidden_size
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    return int((8 * hidden + 3 * inner) * model.dtype.itemsize)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that a tensor did not fit, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)
