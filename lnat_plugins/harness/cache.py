"""`--use_cache`: scored responses kept as they come, so that a killed run can be resumed.

lm-eval looks up only its own request types, in a cache of pickles. Ours lie in a file beside it,
see `record_file`: of `--use_cache PATH`, in `PATH.lnat.sqlite`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lnat_plugins.errors import LnatError
from lnat_plugins.harness.record_file import RecordFile
from lnat_plugins.harness.student_weights import described, student_fingerprint
from lnat_plugins.scoring.part import Part
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set.layouts import reward_of
from lnat_plugins.teacher_set.prompts import Response

SUFFIX: Final = ".lnat.sqlite"

_log = logging.getLogger(f"lm_eval.{__name__}")


class RecordCache:
    """Reads and writes the records of one student; does nothing in a run without `--use_cache`.

    The key holds all that decides the numbers, the student's weights included, so that a cache
    left by another student or other settings is not taken for this one's.

    Raises:
        ConfigError: as `RecordFile`.
        StudentError: as `student_fingerprint`.
    """

    def __init__(self, lm: Any) -> None:
        self._file: RecordFile | None = None
        self._student = ""
        path = cache_path(lm)
        if path is None:
            return
        self._file = RecordFile(path)
        try:
            begin = time.perf_counter()
            self._student = student_fingerprint(lm)
            self._file.add_student(self._student, json.dumps(described(lm)))
            _log.info(
                "Cache of scores: %s (student %s, weights read in %.1f s)",
                self._file.path, self._student[:12], time.perf_counter() - begin,
            )  # fmt: skip
        except BaseException:
            self.close()
            raise

    @property
    def used(self) -> bool:
        """Whether the run has a cache."""
        return self._file is not None

    def find(
        self, digest: str, response: Response, settings_hash: str, wanted: frozenset[str],
        part: Part | None = None,
    ) -> StepSums | None:  # fmt: skip
        """The record of a response that was scored before, with all statistics wanted, or None.

        `digest` is of its row's token ids; `part` is what was read of it, None for all.
        """
        if self._file is None:
            return None
        key = self._key(digest, response, settings_hash, part.as_dict() if part else {})
        stored = self._file.find(key)
        if stored is None:
            return None
        try:
            record = StepSums.from_json(stored)
        except LnatError:
            record = None
        if record is None or key != self._key_of(response, record):
            self._file.warn("a record in it is damaged; such responses are read again")
            return None
        gathered = {*record.step_statistics, *record.statistics, *record.undefined}
        return record if wanted <= gathered else None

    def keep(self, responses: Sequence[Response], records: Sequence[StepSums]) -> None:
        """Keeps records of a prompt for `write`, but for those that another run may improve."""
        if self._file is not None:
            self._file.keep(
                self._student,
                [
                    (self._key_of(response, record), record.to_json())
                    for response, record in zip(responses, records, strict=True)
                    if not record.may_pass
                ],
            )

    def write(self) -> None:
        """Writes what was kept, all at once, unless the file was written to a moment ago."""
        if self._file is not None:
            self._file.write()

    def close(self) -> None:
        """Nothing is looked up or kept from now on; what was kept since `write` is dropped."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _key_of(self, response: Response, record: StepSums) -> str:
        return self._key(record.ids_digest, response, record.settings_hash, record.part)

    def _key(
        self, digest: str, response: Response, settings_hash: str, part: Mapping[str, Any]
    ) -> str:
        steps = None if response.steps is None else list(response.steps)
        reward = reward_of(response.extra, response.where)
        row = [response.teacher, response.sample, reward]
        key = [self._student, settings_hash, digest, response.text, steps, row, dict(part)]
        return hashlib.sha256(json.dumps(key).encode()).hexdigest()


def cache_path(lm: Any) -> Path | None:
    """Where the records of a run lie: one file for all ranks, of which lm-eval has a file each."""
    lm_evals = getattr(getattr(lm, "cache_hook", None), "dbdict", None)
    if lm_evals is None:
        return None
    return Path(re.sub(r"_rank\d+\.db$", "", str(lm_evals.filename)) + SUFFIX)
