"""How much is read at once, and what running out of memory looks like."""

from __future__ import annotations

import torch

SMALLEST_BUDGET = 32
_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def default_budget(device: torch.device) -> int:
    """Tokens in one pass when the user does not say: enough to keep the device busy.

    A CPU is busy with a few hundred tokens.
    """
    return 512 if device.type == "cpu" else 16384


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that a tensor did not fit, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)
