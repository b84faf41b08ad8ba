"""The chosen rows as files: a training set for TRL and others, and rows out of lm-eval's scores.

Knows nothing of hosts: the files are what TRL, LLaMA-Factory and the Hub read, and none of them
is asked.
"""

from __future__ import annotations

from lnat_plugins.training_set.counts import counts, totals
from lnat_plugins.training_set.document import read_selection
from lnat_plugins.training_set.from_scores import (
    ScoredStudent,
    origin_of_scores,
    pool_of_scores,
)
from lnat_plugins.training_set.hub import check_repo_id, push_to_hub
from lnat_plugins.training_set.origin import Origin
from lnat_plugins.training_set.write import check_folder, write_training_set

__all__ = [
    "Origin",
    "ScoredStudent",
    "check_folder",
    "check_repo_id",
    "counts",
    "origin_of_scores",
    "pool_of_scores",
    "push_to_hub",
    "read_selection",
    "totals",
    "write_training_set",
]
