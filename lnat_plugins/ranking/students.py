"""Several students side by side: does the best teacher differ from one student to another?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from lnat_plugins.formatting import join_blocks, markdown_table, number, plain
from lnat_plugins.ranking.bootstrap import LEVEL
from lnat_plugins.ranking.result import Ranking, rank_span


@dataclass(frozen=True)
class StudentComparison:
    """The rankings of one teacher set for several students, by one metric.

    Attributes:
        task: the teacher set.
        students: names, in the order given; at least two. Of paths the last parts, if they differ.
        rankings: one for each student.
        common: the teachers that may be best for every student, in the first one's order. If there
            is none where all have a verdict, the best teacher differs beyond noise.
        text: that in words.
    """

    task: str
    students: tuple[str, ...]
    rankings: tuple[Ranking, ...]
    common: tuple[str, ...]
    text: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, the rankings left out."""
        kept = {name: value for name, value in vars(self).items() if name != "rankings"}
        return {name: plain(value) for name, value in kept.items()}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows: a row a teacher, a column a student, "mean (rank interval)"."""
        lines = [{line.teacher: line for line in one.teachers} for one in self.rankings]
        headers = ["Mean (rank)", *self.students]
        rows = []
        for teacher in dict.fromkeys(name for of in lines for name in of):
            cells = [
                f"{number(of[teacher].mean)} ({rank_span(of[teacher])})" if teacher in of else "N/A"
                for of in lines
            ]
            rows.append([teacher, *cells])
        return headers, rows

    def to_markdown(self) -> str:
        """What they have in common, each student's verdict, and the table."""
        verdicts = [
            line
            for student, ranking in zip(self.students, self.rankings, strict=True)
            for line in (
                f"- {student}: {ranking.verdict.text}",
                *(f"  - {warning}" for warning in ranking.warnings),
            )
        ]
        headers, rows = self.table()
        return join_blocks([self.text, *verdicts], markdown_table(headers, rows, left=1))


def compare_students(
    task: str, students: Sequence[str], rankings: Sequence[Ranking], steps: Sequence[str] = ()
) -> StudentComparison:
    """Set the rankings of one teacher set for several students side by side.

    The best teacher differs beyond noise if no teacher is in the best set of all k students: each
    set holds that student's best teacher at 95 %, so all of them do at 100 − 5·k % or more.
    Students that were ranked by other metrics, windows or steps, or on other teachers, are not
    compared.

    Args:
        steps: how the responses were cut for each student.
    """
    said = [one.verdict for one in rankings]
    common = [
        name for name in said[0].may_be_best if all(name in other.may_be_best for other in said)
    ]
    all_of_them = "both students" if len(said) == 2 else f"all {len(said)} students"
    if differing := _differing(rankings, steps):
        common, text = [], f"Not compared: the students were ranked on different {differing}."
    elif any(one.kind == "none" for one in said):
        common = []
        text = "Whether the best teacher differs is not known: a student has no verdict."
    elif not common:
        together = max(0.0, 1 - len(said) * (1 - LEVEL))
        text = (
            f"The best teacher differs beyond noise: no teacher may be best for {all_of_them} "
            f"({together:.0%} for all together)."
        )
    else:
        text = f"No difference beyond noise: {' or '.join(common)} may be best for {all_of_them}."
    used = [one.prompts_used for one in rankings]
    if not differing and len({*used}) > 1 and all(one.kind != "none" for one in said):
        text += f" They rest on {' and '.join(map(str, used))} prompts."
    names = _short(students)
    return StudentComparison(task, names, tuple(rankings), tuple(common), text)


def _differing(rankings: Sequence[Ranking], steps: Sequence[str]) -> str:
    """In what the rankings differ, if they cannot be compared; "" if they can."""
    parts: dict[str, set[object]] = {
        "metrics": {one.metric for one in rankings},
        "windows": {one.window for one in rankings},
        "steps": {*steps},
        "teachers": {frozenset(line.teacher for line in one.teachers) for one in rankings},
    }
    return " and ".join(name for name, values in parts.items() if len(values) > 1)


def _short(students: Sequence[str]) -> tuple[str, ...]:
    """The last parts of paths, where they tell the students apart; "org/model" is no path."""
    paths = [PurePosixPath(student) for student in students]
    last = tuple(path.name if len(path.parts) > 2 else str(path) for path in paths)
    return last if len(set(last)) == len(last) else tuple(students)
