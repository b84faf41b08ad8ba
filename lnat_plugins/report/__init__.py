"""A ranking to look at: one HTML file with plots, tables and the traces step by step.

The page needs no network and no other file, works with a keyboard alone, in light and dark and on
paper; its verdict, tables and first trace work without JavaScript too.
"""

from __future__ import annotations

from lnat_plugins.report.data import ReportOptions, leading_metric
from lnat_plugins.report.page import MAX_SIZE, report
from lnat_plugins.report.plots import KINDS, picture, plot
from lnat_plugins.report.study import read_study
from lnat_plugins.report.write import FORMATS, check_report, format_of, write_report

__all__ = [
    "FORMATS", "KINDS", "MAX_SIZE", "ReportOptions", "check_report", "format_of", "leading_metric",
    "picture", "plot", "read_study", "report", "write_report",
]  # fmt: skip
