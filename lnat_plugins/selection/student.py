"""What choosing needs of a student: scores and lengths of rows, from wherever they come.

A student that lives in this process computes them; one that lm-eval has scored looks them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set.prompts import Candidate


class Student(Protocol):
    """The model that is about to be trained, as far as choosing needs it.

    Every method takes rows of one pool and answers one value a row, in order.
    """

    @property
    def name(self) -> str:
        """The model's name or path."""
        ...

    def score(self, rows: Sequence[Candidate]) -> list[StepSums]:
        """Step sums of each response under the selection's windows."""
        ...

    def response_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of each response alone, as it is scored."""
        ...

    def training_tokens(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of each row as fine-tuning reads it: prompt, template, response, end."""
        ...
