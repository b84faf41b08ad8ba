"""From scored responses to teachers in order, with what is sure and what is not.

Reads no file but that of a known order, and knows nothing of hosts.
"""

from __future__ import annotations

from lnat_plugins.ranking.bootstrap import Stability
from lnat_plugins.ranking.compare import Comparison, MetricOrder, compare, comparison_to_markdown
from lnat_plugins.ranking.confounds import Confounds, ControlCorrelation, confounds
from lnat_plugins.ranking.leaderboard import Leaderboard, leaderboard
from lnat_plugins.ranking.orders import Agreement
from lnat_plugins.ranking.rank import rank
from lnat_plugins.ranking.reference import Reference, ReferenceFit, read_reference
from lnat_plugins.ranking.result import Ranking, TeacherRank, to_markdown

__all__ = [
    "Agreement",
    "Comparison",
    "Confounds",
    "ControlCorrelation",
    "Leaderboard",
    "MetricOrder",
    "Ranking",
    "Reference",
    "ReferenceFit",
    "Stability",
    "TeacherRank",
    "compare",
    "comparison_to_markdown",
    "confounds",
    "leaderboard",
    "rank",
    "read_reference",
    "to_markdown",
]
