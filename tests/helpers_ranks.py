"""Two processes of one run, on the CPU, as a launcher would start them."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from accelerate import PartialState

from tests.helpers_programs import Program


def launch(module: str, arguments: Sequence[str], folder: Path, repo: Path) -> list[str]:
    """Run `module.main(arguments)` in two processes that meet; what each of them printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # At the end of the path, so that the installed package is tested, not the checkout's.
    code = f"import sys; sys.path.append({str(repo)!r})\nfrom {module} import main\n"
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    place |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    code += f"main({list(arguments)!r})"
    with contextlib.ExitStack() as stack:
        ranks = [
            stack.enter_context(
                Program(code, cwd=folder, more={**place, "RANK": rank, "LOCAL_RANK": rank})
            )
            for rank in ("0", "1")
        ]
        for process in ranks:
            assert process.wait(180) == 0, "".join(process.said())[-4000:]
        return ["".join(process.said()) for process in ranks]


def leave() -> NoReturn:
    """Ends this process once both have done their work.

    The native libraries are not taken down: torch 2.13 with gloo has been seen to abort in that
    ("terminate called without an active exception"), in about one of 50 runs.
    """
    PartialState().wait_for_everyone()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
