"""The `lm_eval` command: bad input ends it with one line, and `lnat eval` runs it.

The harness loads the model before it loads our task, so a wrong path to a student ends in a
traceback of its libraries. `lnat eval` checks the student and the teacher sets first, and finds the
shipped tasks from a source checkout too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lm_eval.tasks
from lm_eval._cli import HarnessCLI
from lm_eval.utils import setup_logging

from lnat_plugins.errors import LnatError, StudentError
from lnat_plugins.harness.definitions import check_command
from lnat_plugins.teacher_set.catalog import shipped_folder

_COMMANDS: Final = ("lm_eval", "lm-eval", "lm_eval.exe", "lm-eval.exe")
_TASK: Final = "local_naturalness"
_HUB_PARTS: Final = 2


@contextmanager
def plain_errors() -> Iterator[None]:
    """Lets an LnatError end the `lm_eval` command; in a program of its own it is raised."""
    try:
        yield
    except LnatError as error:
        if not is_command():
            raise
        print(f"lnat: error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(error.exit_code) from None


def is_command() -> bool:
    """Whether this process runs the `lm_eval` command: by its name, or `python -m lm_eval`."""
    program = Path(sys.argv[0] if sys.argv else "")
    return program.name in _COMMANDS or program.parts[-2:] == ("lm_eval", "__main__.py")


def run_lm_eval(arguments: Sequence[str]) -> int:
    """Runs the harness's command in this process and returns its exit code.

    Raises:
        StudentError: the student is a path, and there is no model at it.
        ConfigError, DataError: of a teacher set that the arguments name.
    """
    own_tree = Path(lm_eval.tasks.__file__).parent / _TASK
    extra = [] if own_tree.is_dir() else ["--include_path", str(shipped_folder())]
    before = sys.argv
    sys.argv = ["lm_eval", "run", *extra, *arguments]
    try:
        setup_logging()
        command = HarnessCLI()
        parsed = command.parse_args()
        check_student((parsed.model_args or {}).get("pretrained"))
        check_command(tuple(sys.argv))
        command.execute(parsed)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
    return 0


def check_student(student: object) -> None:
    """Refuses a `pretrained=` that can only be a local path, where no model is."""
    if not isinstance(student, str):
        return
    path = Path(student).expanduser()
    hub_like = len(path.parts) <= _HUB_PARTS and not student.startswith((".", "~", "/"))
    if not path.is_dir() and not hub_like:
        what = "the student's folder does not exist"
        remedy = "give a folder with config.json, or a hub name such as owner/model"
    elif path.is_dir() and not (path / "config.json").is_file():
        what = "the student's folder holds no model: it has no config.json"
        remedy = "give the folder that save_pretrained wrote"
    else:
        return
    raise StudentError(what, where="--model_args pretrained", found=student, remedy=remedy)
