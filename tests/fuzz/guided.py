"""atheris chooses the inputs: it changes bytes, and keeps those that reach other lines."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tests.fuzz.drawn import Drawn

LONGEST = 1_024
"""Bytes of an input."""


def guide(tries: Any, kinds: Sequence[str], count: int, seed: int) -> NoReturn:
    """Try `count` inputs, whose first byte is the kind; prints and ends the process as `ended`.

    Args:
        tries: see `__main__.Tries`.
    """
    import atheris

    corpus = Path(tempfile.mkdtemp(prefix="lnat-fuzz-corpus-"))
    rng, left = random.Random(seed), count
    for i in range(8 * len(kinds)):
        start = bytes([i % len(kinds)]) + rng.randbytes(rng.choice((0, 20, 100, LONGEST - 1)))
        (corpus / str(i)).write_bytes(start)

    def one(data: bytes) -> None:
        nonlocal left
        if data:
            kind, drawn = kinds[data[0] % len(kinds)], data[1:]
            tries.one(kind, Drawn(drawn), f"--bytes {drawn.hex()}")
            left -= 1
        if not left:
            shutil.rmtree(corpus)
            code = tries.ended(kinds, seed)
            sys.stderr.flush()
            os._exit(code)  # libFuzzer's own end would print its statistics

    options = [f"-max_len={LONGEST}", f"-seed={seed}", "-rss_limit_mb=0", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()
    raise AssertionError("atheris does not return")
