"""From scored responses to teachers in order, with how sure that is and what it may only echo.

Knows no hosts, and no files but that of a known order.
"""

from __future__ import annotations

from lnat_plugins.ranking.agreement import Agreement
from lnat_plugins.ranking.comparison import Comparison, MetricOrder, compare
from lnat_plugins.ranking.comparison_markdown import comparison_to_markdown
from lnat_plugins.ranking.confounds import Confounds, confounds
from lnat_plugins.ranking.control_correlation import ControlCorrelation
from lnat_plugins.ranking.markdown import to_markdown
from lnat_plugins.ranking.rank import rank
from lnat_plugins.ranking.reference import Reference, read_reference
from lnat_plugins.ranking.reference_fit import ReferenceFit
from lnat_plugins.ranking.result import Ranking, TeacherRank
from lnat_plugins.ranking.stability import Stability

__all__ = [
    "Agreement", "Comparison", "Confounds", "ControlCorrelation", "MetricOrder", "Ranking",
    "Reference", "ReferenceFit", "Stability", "TeacherRank", "compare", "comparison_to_markdown",
    "confounds", "rank", "read_reference", "to_markdown",
]  # fmt: skip
