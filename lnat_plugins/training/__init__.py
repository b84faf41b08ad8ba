"""Rows chosen before a TRL trainer trains: from its data set to the rows that are left of it.

Knows how SFT data sets look and how a trainer runs; the trainer classes themselves stand in
`lnat_plugins.hooks.trl_sft`.
"""

from __future__ import annotations

from lnat_plugins.training.attached import choose_for
from lnat_plugins.training.rows import chosen_rows, select_dataset

__all__ = ["choose_for", "chosen_rows", "select_dataset"]
