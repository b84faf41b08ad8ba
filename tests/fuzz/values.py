"""Values that are hard to hold, and good ones changed at random places."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from typing import Any, Final

TEXTS: Final = (
    "", " ", "a", "A", "two words", "a\nb", "\r\n", "\t", "\0", "\x1b[2J", "\ud83d", "\u202eabc",
    "\u2028", "中文。", "🙂", "x" * 300, "<think>a</think>\n\nb", "</think>", "null",
    "true", "1", "-1",
    "1e999", "NaN", "10%", "4/8", "global", "..", "a/b", "~", "~nobody_here/x", "/dev/zero",
    "rows.jsonl", "*.jsonl", "hf://x", "%", "{think}", "'", '"', "[", "{", "&a", "*a", "!!python/x",
    "p", "teacher", "response", "prompt", "messages", "QwQ", "R1", "sentence", "tokens:0",
    "tokens:4", "supplied", "nested", "wide", "batch", "best", "top_k", "a,b", "a>b", "A=B>C",
)  # fmt: skip
SCALARS: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 2, 3.5, -0.0, 1e308, math.nan, math.inf, -math.inf, 10**400, 2**63,
)  # fmt: skip


def value(rng: random.Random, depth: int = 3) -> Any:
    """A value of any JSON kind."""
    kind = rng.random()
    if depth and kind < 0.12:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if depth and kind < 0.24:
        return {rng.choice(TEXTS): value(rng, depth - 1) for _ in range(rng.randrange(4))}
    if kind < 0.26:
        nested: Any = rng.choice(SCALARS)
        for _ in range(rng.choice((5, 120, 300))):
            nested = [nested]
        return nested
    if kind < 0.6:
        return rng.choice(SCALARS)
    if kind < 0.9:
        return rng.choice(TEXTS)
    return "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x11000))))
                   for _ in range(rng.randrange(12)))  # fmt: skip


def changed(
    rng: random.Random, good: Any, times: int | None = None,
    make: Callable[[random.Random], Any] = value,
) -> Any:  # fmt: skip
    """A copy of a value, changed at random places to what `make` gives."""
    found = copy.deepcopy(good)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4)) if times is None else times):
        parent, key = _place(rng, found)
        if parent is None:
            return make(rng)
        act = rng.random()
        if act < 0.6:
            parent[key] = make(rng)
        elif act < 0.75:
            del parent[key]
        elif isinstance(parent, dict):
            parent[rng.choice(TEXTS)] = parent[key] if act < 0.9 else make(rng)
        else:
            parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
    return found


def _place(rng: random.Random, root: Any) -> tuple[Any, Any]:
    """A container and a key or index of it; (None, None) for the root or an empty container."""
    parent, key, here = None, None, root
    while isinstance(here, dict | list) and here and (parent is None or rng.random() < 0.7):
        parent = here
        key = rng.choice([*here]) if isinstance(here, dict) else rng.randrange(len(here))
        here = parent[key]
    return parent, key


def damaged(rng: random.Random, text: bytes) -> bytes:
    """Bytes, mostly as they are; else cut, doubled or overwritten at a random place."""
    if rng.random() < 0.75 or not text:
        return text
    at = rng.randrange(len(text))
    act = rng.randrange(4)
    if act == 0:
        return text[:at]
    if act == 1:
        return text[:at] + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 4))) + text[at:]
    if act == 2:
        return text[:at] + text[rng.randrange(len(text)) :]
    return text[:at] + rng.choice((b'"', b"{", b"}", b"[", b",", b"\n", b"\0", b"\xff")) + text[at:]
