"""Row weights of a teacher set: the table by teacher, and the file."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lnat_plugins.formatting import duration, join_blocks, markdown_table, number, plural
from lnat_plugins.selection.weights import RowWeight, write_weights

_NOT: Final = (
    "A weight says how far the two students are apart on a response, not which of them is right."
)


@dataclass(frozen=True, repr=False)
class NceWeights:
    """A weight for each response; see `nce_weights`.

    Attributes:
        task: name of the teacher set.
        rows: one a response, in the order of the set; an undefined one has its reason.
        tokens: read by each student.
        seconds: of that.
    """

    task: str
    rows: tuple[RowWeight, ...]
    tokens: int
    seconds: float

    def __repr__(self) -> str:
        return f"<NceWeights of {plural(len(self.rows), 'response')} of {self.task}>"

    def to_markdown(self, students: Sequence[str] = ()) -> str:
        """A line a teacher, and what was left without a weight.

        Args:
            students: names of the first and the second student.
        """
        headers = ["Teacher", "Responses", "KL", "Mean weight", "Lowest", "Highest", "Undefined"]
        rows = []
        for teacher in dict.fromkeys(row.teacher for row in self.rows):
            own = [row for row in self.rows if row.teacher == teacher]
            known = [row for row in own if not row.reason]
            weights = [row.lnat_weight for row in known] or [math.nan]
            kl = statistics.fmean(row.kl for row in known) if known else math.nan
            rows.append([
                teacher, str(len(own)), number(kl), number(statistics.fmean(weights)),
                number(min(weights)), number(max(weights)), str(len(own) - len(known)),
            ])  # fmt: skip
        reasons = Counter(row.reason for row in self.rows if row.reason)
        title = [f"task: {self.task}, {plural(len(self.rows), 'response', separator=',')}"]
        if students:
            title.append(f"positive: {students[0]}, negative: {students[1]}")
        title.append(
            f"weight = 0.5 + tanh(KL), KL of negative from positive in nats per token; "
            f"{self.tokens:,} tokens read by each student, {duration(self.seconds)}"
        )
        notes = [f"{count} undefined: {reason}." for reason, count in reasons.items()]
        return join_blocks(title, markdown_table(headers, rows, left=1), [*notes, _NOT])

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a line of JSON a response, for `weights:` of a selection.

        A file of weights that stands there is replaced.

        Raises:
            ConfigError: another file is in the way (`overwrite` replaces it), or no file can be
                written there.
        """
        write_weights(path, self.rows, overwrite=overwrite)
