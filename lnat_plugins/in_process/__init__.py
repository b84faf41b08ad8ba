"""Scoring in this process, without a host: what a trainer and a notebook use.

Knows nothing of trainers.
"""

from __future__ import annotations

from lnat_plugins.in_process.ahead import ahead
from lnat_plugins.in_process.processes import Processes
from lnat_plugins.in_process.progress import Progress
from lnat_plugins.in_process.student import LocalStudent, Scoring

__all__ = ["LocalStudent", "Processes", "Progress", "Scoring", "ahead"]
