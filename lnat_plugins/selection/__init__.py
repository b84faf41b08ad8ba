"""Which rows to train on: filters, strategies, and a reason for every row left out.

Knows nothing of files, models and hosts: rows come as a `Candidates`, scores through a `Student`.
"""

from __future__ import annotations

from lnat_plugins.selection.base import REQUIRED, Choice, Option, ScoredCandidates, Strategy
from lnat_plugins.selection.result import Selection, category
from lnat_plugins.selection.select import choose
from lnat_plugins.selection.spec import KEYS, SelectionSpec, parse_selection
from lnat_plugins.selection.student import Student
from lnat_plugins.teacher_set.prompts import Candidate, Candidates

__all__ = [
    "Choice",
    "ScoredCandidates",
    "KEYS",
    "Option",
    "Candidates",
    "Candidate",
    "REQUIRED",
    "Selection",
    "SelectionSpec",
    "Strategy",
    "Student",
    "category",
    "choose",
    "parse_selection",
]
