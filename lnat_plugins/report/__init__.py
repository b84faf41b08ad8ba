"""A ranking to look at: one HTML file with plots, tables and the traces step by step.

The page needs no network and no other file, works with a keyboard alone, in light and dark and on
paper; its plots and first traces work without JavaScript too.
"""

from __future__ import annotations

from lnat_plugins.report.data import ReportOptions, leading_metric
from lnat_plugins.report.page import report

__all__ = ["ReportOptions", "leading_metric", "report"]
