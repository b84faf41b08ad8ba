"""Bad input under the `lm_eval` command: one line and exit code 2 instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lnat_plugins.errors import LnatError

_COMMANDS = ("lm_eval", "lm-eval", "lm_eval.exe", "lm-eval.exe")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Lets an LnatError end the `lm_eval` command; in a program of its own it is raised."""
    try:
        yield
    except LnatError as error:
        if not under_lm_eval():
            raise
        print(f"lnat: error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(error.exit_code) from None


def under_lm_eval() -> bool:
    """Whether this process is the harness's command, started by name or with -m."""
    program = Path(sys.argv[0] if sys.argv else "")
    return program.name in _COMMANDS or program.parts[-2:] == ("lm_eval", "__main__.py")
