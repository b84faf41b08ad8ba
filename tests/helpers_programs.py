"""Programs in processes of their own, forked from one that has imported what they import.

A command's imports take seconds, most of its time in a test. What they are and how long they take
is held elsewhere (tests/meta/test_imports.py); tests that need a new interpreter start one.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
IMPORTED = (
    "torch", "transformers", "datasets", "accelerate", "lm_eval.evaluator",
    "lm_eval.models.huggingface", "lm_eval.__main__", "trl", "pandas", "pyarrow.parquet",
    "scipy.stats", "lnat_plugins.api", "lnat_plugins.cli", "lnat_plugins.report.page",
    "lnat_plugins.selection.training_set", "lnat_plugins.harness.command",
    "lnat_plugins.hooks.trl_sft", "lnat_plugins.study.jobs",
)  # fmt: skip
LNAT = "import sys; from lnat_plugins.cli import main; sys.exit(main())"
LM_EVAL = """
import functools, runpy, sys
from lm_eval.tasks import TaskManager
TaskManager.__init__ = functools.partialmethod(TaskManager.__init__, include_defaults=False)
sys.argv[0] = "/bin/lm_eval"
runpy.run_module("lm_eval", run_name="__main__", alter_sys=False)
"""
"""The commands, whose arguments follow; `lm_eval` without its own 13,000 tasks, which take longer
to find than all the rest."""


class Program:
    """A process, asked as `subprocess.Popen` is; what it prints is in files.

    Args:
        code: what `python -W ignore -c` would be given.
        arguments: of the program.
        cwd: its working directory.
        more: environment variables beside those of this process.
        new_session: whether it is the first of a group of its own.
    """

    def __init__(
        self, code: str, arguments: Sequence[str] = (), *, cwd: Path | None = None,
        more: Mapping[str, str] | None = None, new_session: bool = False,
    ) -> None:  # fmt: skip
        self._folder = tempfile.TemporaryDirectory(prefix="lnat-program-")
        self._outputs = [f"{self._folder.name}/{name}" for name in ("stdout", "stderr")]
        for output in self._outputs:
            Path(output).touch()
        place = str((cwd or Path.cwd()).resolve()), {**os.environ, **(more or {})}
        self._process = prepared().Process(
            target=_work, args=(code, [*arguments], *place, self._outputs, new_session)
        )
        with _found_by_children():
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """As of `subprocess`: a signal is a negative number; None before the end."""
        return self._process.exitcode

    def kill(self) -> None:
        """By SIGKILL, if it has not ended."""
        if self._process.exitcode is None:
            self._process.kill()

    def said(self) -> tuple[str, str]:
        """What it printed so far, to both."""
        stdout, stderr = (Path(one).read_text(errors="replace") for one in self._outputs)
        return stdout, stderr

    def wait(self, seconds: float = 240) -> int:
        """Its exit code."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"it goes on:\n{self.said()[1][-4000:]}"
        return self._process.exitcode

    def wait_for(self, text: str, seconds: float = 240) -> None:
        """Until that stands in stderr."""
        end = time.monotonic() + seconds
        while text not in self.said()[1]:
            assert self._process.exitcode is None and time.monotonic() < end, self.said()[1]
            time.sleep(0.01)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *of: object) -> None:
        self.kill()
        self._process.join()
        self._process.close()
        self._folder.cleanup()


def run_program(
    code: str, arguments: Sequence[str] = (), **more: Any
) -> subprocess.CompletedProcess[str]:
    """A program to its end; arguments as of `Program`."""
    with Program(code, arguments, **more) as program:
        ended = program.wait()
        return subprocess.CompletedProcess([code, *arguments], ended, *program.said())


def script_program(path: Path) -> str:
    """The code of `python path`, whose arguments follow."""
    return (
        f"import runpy, sys; sys.path[0] = {str(path.parent)!r}; sys.argv[0] = {str(path)!r}; "
        f"runpy.run_path({str(path)!r}, run_name='__main__')"
    )


def prepared() -> Any:
    """A context of multiprocessing in place of `spawn`: its processes have imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED])
    server = multiprocessing.forkserver._forkserver  # type: ignore[attr-defined]
    if server._forkserver_pid is None:
        # `-c` puts the working folder first on the path: the checkout would come before the wheel.
        before = Path.cwd()
        # tqdm reads this when it is imported.
        os.environ["TQDM_DISABLE"] = "1"
        os.chdir(tempfile.gettempdir())
        try:
            multiprocessing.forkserver.ensure_running()
        finally:
            os.chdir(before)
            del os.environ["TQDM_DISABLE"]
    return context


@contextlib.contextmanager
def _found_by_children() -> Iterator[None]:
    """Processes find this module by the path of this one; at its end, as everywhere in tests."""
    before = sys.path[:]
    sys.path.append(str(REPO))
    try:
        yield
    finally:
        sys.path[:] = before


def _work(
    code: str, arguments: list[str], cwd: str, variables: dict[str, str], outputs: list[str],
    new_session: bool,
) -> None:  # fmt: skip
    if new_session:
        os.setsid()
    for number, output in enumerate(outputs, start=1):
        file = os.open(output, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    # Where processes begin that the program starts: in the checkout its package would come first.
    multiprocessing.process.ORIGINAL_DIR = cwd
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["-c", *arguments]
    sys.path[:] = ["", *(one for one in sys.path if one != str(REPO))]
    warnings.simplefilter("ignore")
    _describe_nothing()
    atexit._clear()
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()  # those of the program; multiprocessing leaves them out


def _describe_nothing() -> None:
    """lm-eval describes the machine in every result, by a dozen programs."""
    from torch.utils import collect_env

    collect_env.get_pretty_env_info = lambda: "not described in a test"
