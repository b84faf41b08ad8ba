"""lm-evaluation-harness: the naturalness task, its requests and its results.

The only part of the package that imports lm_eval. A task's YAML names the class::

    class: !function lnat_plugins.harness.NaturalnessTask
"""

from __future__ import annotations

from lnat_plugins.harness.task import NaturalnessTask

__all__ = ["NaturalnessTask"]
