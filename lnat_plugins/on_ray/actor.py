"""What runs on the nodes: an actor that holds the student and scores the prompts it is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from lnat_plugins.errors import LnatError, StudentError
from lnat_plugins.harness.worker import Worker
from lnat_plugins.on_ray.parts import SCHEMA
from lnat_plugins.on_ray.prompt_files import prompt_of, read_set


class ScoringActor:
    """A student that scores the rows it is given, one by one.

    Args:
        model, arguments, apply_chat_template: see `Worker`.
        prompts: the folder with the set that the rows are of.
        claim: a folder that holds the student's fingerprint as a file's name; the first actor
            puts it there.

    An error of ours in the constructor is raised by the first call: of what the constructor raises
    Ray passes on the text alone.
    """

    def __init__(
        self, model: str, arguments: Mapping[str, Any], prompts: Path,
        apply_chat_template: bool | None, claim: Path,
    ) -> None:  # fmt: skip
        self._worker: Worker | LnatError
        try:
            written = read_set(prompts)
            worker = Worker(model, arguments, written.plan(), written.name, apply_chat_template)
            _claim(claim, worker.fingerprint(), str(arguments.get("pretrained", "")))
            self._worker = worker
        except LnatError as error:
            self._worker = error

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Scored rows, as the parts hold them.

        Raises:
            StudentError, ConfigError: as `Worker`, or another student than the one that scored the
                parts before.
        """
        if isinstance(self._worker, LnatError):
            raise self._worker
        found = []
        for row in rows.to_pylist():
            line, reason, final, error = self._worker.score(
                row["number"], prompt_of(row["prompt"]),
                narrower=row["narrower"], variants=row["variants"],
            )  # fmt: skip
            own = {"number": row["number"], "id": row["id"], "line": line}
            found.append(own | {"reason": reason, "final": final, "error": error})
        return pa.Table.from_pylist(found, schema=SCHEMA)


def _claim(folder: Path, fingerprint: str, student: str) -> None:
    """Every actor of a run, and of the runs that go on from it, has the same student."""
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / fingerprint
    _refuse_others(folder, fingerprint, student)
    own.touch()
    try:
        _refuse_others(folder, fingerprint, student)
    except StudentError:  # another actor has come at the same time
        own.unlink(missing_ok=True)
        raise


def _refuse_others(folder: Path, fingerprint: str, student: str) -> None:
    for other in sorted(path.name for path in folder.iterdir()):
        if other != fingerprint:
            raise StudentError(
                "these are not the weights or the tokenizer of the student whose scores are in the "
                "output folder",
                where=student, found=f"{fingerprint[:12]}, not {other[:12]}",
                remedy="give another output folder, or the student as it was",
            )  # fmt: skip
