"""Which rows to train on: filters, strategies, a reason for every row dropped, and the files.

Knows no hosts, and loads no model: rows come as `Candidates`, scores through a `Student`. The files
are what trainers and the Hub read; none of them is imported to write them.
"""

from __future__ import annotations

from lnat_plugins.selection.base import (
    KEYS,
    REQUIRED,
    Choice,
    Option,
    ScoredCandidates,
    Strategy,
)
from lnat_plugins.selection.result import Selection, category
from lnat_plugins.selection.select import choose, choose_rejected
from lnat_plugins.selection.spec import SelectionSpec, parse_selection
from lnat_plugins.selection.student import (
    ScoredStudent,
    Student,
    candidates_of_scores,
    provenance_of_scores,
)

__all__ = [
    "KEYS",
    "REQUIRED",
    "Choice",
    "Option",
    "ScoredCandidates",
    "ScoredStudent",
    "Selection",
    "SelectionSpec",
    "Strategy",
    "Student",
    "candidates_of_scores",
    "category",
    "choose",
    "choose_rejected",
    "parse_selection",
    "provenance_of_scores",
]
