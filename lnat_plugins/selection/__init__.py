"""Which rows to train on: filters, strategies, and a reason for every row left out.

Knows nothing of files, models and hosts: rows come as a `Pool`, scores through a `Student`.
"""

from __future__ import annotations

from lnat_plugins.selection.choose import choose
from lnat_plugins.selection.pool import Pool, PoolRow
from lnat_plugins.selection.selection import Selection, category
from lnat_plugins.selection.spec import KEYS, SelectionSpec, parse_selection
from lnat_plugins.selection.strategy import REQUIRED, Choice, Contest, Option, Strategy
from lnat_plugins.selection.student import Student

__all__ = [
    "KEYS",
    "REQUIRED",
    "Choice",
    "Contest",
    "Option",
    "Pool",
    "PoolRow",
    "Selection",
    "SelectionSpec",
    "Strategy",
    "Student",
    "category",
    "choose",
    "parse_selection",
]
