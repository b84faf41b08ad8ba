"""The `lm_eval` command: bad input ends it with one line, and `lnat eval` runs it.

The harness loads the model before it loads our task, so a wrong path to a student ends in a
traceback of its libraries. `lnat eval` checks the student and the teacher sets first, and finds the
shipped tasks from a source checkout too.
"""

from __future__ import annotations

import glob
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import lm_eval.evaluator
import lm_eval.tasks
from lm_eval._cli import HarnessCLI
from lm_eval.loggers.utils import get_commit_from_path
from lm_eval.utils import setup_logging

from lnat_plugins.errors import ConfigError, LnatError, StudentError
from lnat_plugins.files import check_model_folder, is_folder
from lnat_plugins.harness.cache import SUFFIX
from lnat_plugins.harness.definitions import (
    check_classes,
    check_command,
    names_ours_alone,
)
from lnat_plugins.harness.record_file import RecordFile
from lnat_plugins.harness.written import forget_files, print_files
from lnat_plugins.scoring.chat import load_tokenizer
from lnat_plugins.teacher_set.catalog import shipped_folder

_COMMANDS: Final = ("lm_eval", "lm-eval", "lm_eval.exe", "lm-eval.exe")
_TASK: Final = "local_naturalness"
_IN_PROCESS: Final = "lm_eval"
"""`sys.argv[0]` of a run in this process; that of the command is a path."""

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as of a shell."""


@contextmanager
def plain_errors() -> Iterator[None]:
    """Lets an LnatError or Ctrl-C end the `lm_eval` command; in another program it is raised."""
    try:
        yield
    except KeyboardInterrupt:
        if not is_command() or sys.argv[0] == _IN_PROCESS:
            raise
        what = "run the same command again; what --use_cache PATH has kept is not scored again"
        print(f"lnat: interrupted: {what}", file=sys.stderr, flush=True)
        raise SystemExit(INTERRUPTED) from None
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

    The code is 2 where the harness could not save its files.

    Raises:
        StudentError: the student is a path, and there is no model at it, or no chat template to
            apply.
        ConfigError, DataError: of a teacher set that the arguments name; an output folder that
            cannot be written to; a cache that is none.
    """
    own_tree = Path(lm_eval.tasks.__file__).parent / _TASK
    extra = [] if own_tree.is_dir() else ["--include_path", str(shipped_folder())]
    before = sys.argv
    sys.argv = [_IN_PROCESS, "run", *extra, *arguments]
    try:
        setup_logging()
        command = HarnessCLI()
        parsed = command.parse_args()
        student = dict(parsed.model_args or {})
        check_model_folder(student.get("pretrained"), "--model_args pretrained")
        check_command(tuple(sys.argv))
        check_classes(sys.argv)
        if getattr(parsed, "apply_chat_template", None):
            check_template(student)
        check_output(getattr(parsed, "output_path", None))
        check_cache(getattr(parsed, "use_cache", None))
        alone = names_ours_alone(sys.argv, [shipped_folder()])
        with without_gits_message(), own_tasks_only() if alone else nullcontext():
            command.execute(parsed)
        if not print_files():
            return ConfigError.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        forget_files()
        sys.argv = before
    return 0


@contextmanager
def without_gits_message() -> Iterator[None]:
    """Keeps git from saying that the working directory is in no repository.

    The harness runs `git describe` to note a commit, and goes on without one.
    """
    before = lm_eval.evaluator.get_git_commit_hash
    lm_eval.evaluator.get_git_commit_hash = _commit
    try:
        yield
    finally:
        lm_eval.evaluator.get_git_commit_hash = before


@contextmanager
def own_tasks_only() -> Iterator[None]:
    """Keeps the harness from reading the files of its own tasks, some 13,000, for a run of ours."""
    before = lm_eval.tasks.TaskManager

    def quick(include_path: str | None = None, **options: Any) -> lm_eval.tasks.TaskManager:
        folders = [shipped_folder(), *filter(None, [include_path])]
        return before(include_path=folders, include_defaults=False, **options)

    lm_eval.tasks.TaskManager = quick
    try:
        yield
    finally:
        lm_eval.tasks.TaskManager = before


def _commit() -> str | None:
    """As the harness finds it."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always"], capture_output=True, text=True, check=True
        )
    except (subprocess.CalledProcessError, FileNotFoundError):
        found: str | None = get_commit_from_path(Path.cwd())
        return found
    return described.stdout.strip()


def check_output(path: str | None) -> None:
    """Refuses a folder that cannot be written to: the harness finds that out after scoring."""
    if not path:
        return
    folder = Path(path)
    folder = folder.parent if folder.suffix == ".json" else folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as cause:
        raise ConfigError(
            "results cannot be written there", where="--output_path",
            found=f"{path}: {cause.strerror}", remedy="give a folder that can be written to",
        ) from None  # fmt: skip


def check_cache(path: str | None) -> None:
    """Refuses files of `--use_cache` that are none: the harness would end in a traceback of sqlite,
    after it has loaded the model."""
    if not path:
        return
    own = Path(path + SUFFIX)
    if own.exists():
        RecordFile(own).close()
    for file in sorted(Path(path).parent.glob(f"{glob.escape(Path(path).name)}_rank*.db")):
        _check_cache_of_lm_eval(file)


def _check_cache_of_lm_eval(file: Path) -> None:
    """Opens it without reading what is in it, which is pickled."""
    try:
        with closing(sqlite3.connect(file)) as opened:
            opened.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error as cause:
        raise ConfigError(
            "no cache of lm-eval, or a damaged one", where=f"--use_cache: {file}",
            found=str(cause), remedy="delete it, or give --use_cache another path",
        ) from None  # fmt: skip


def no_template(student: str) -> StudentError:
    """The error where `--apply_chat_template` is given for a student without one."""
    return StudentError(
        "the student's tokenizer has no chat template", where=student,
        remedy="leave --apply_chat_template out, or give a tokenizer that has one: "
        "--model_args pretrained=...,tokenizer=...",
    )  # fmt: skip


def check_template(arguments: Mapping[str, Any]) -> None:
    """Refuses `--apply_chat_template` for a student whose tokenizer has none."""
    name = arguments.get("tokenizer") or arguments.get("pretrained")
    if isinstance(name, str) and is_folder(name):
        tokenizer = load_tokenizer(name, "give a folder with the student's tokenizer files")
        if not tokenizer.chat_template:
            raise no_template(name)
