"""`lnat`, and what makes its files, as processes of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

LNAT: Final = (
    # Isolated: what is installed, whatever the working folder holds.
    sys.executable, "-I", "-c", "from lnat_plugins.cli import main; raise SystemExit(main())",
)  # fmt: skip


def call(name: str, *arguments: object) -> Path:
    """A function of `_scored_files`, whose imports the caller's process is spared."""
    import _scored_files

    found: Path = getattr(_scored_files, name)(*arguments)
    return found
