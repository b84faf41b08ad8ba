"""From scored responses to teachers in order, with what is sure and what is not.

Reads no file but that of a known order, and depends on no host.
"""

from __future__ import annotations

from lnat_plugins.ranking.bootstrap import Stability
from lnat_plugins.ranking.compare import Comparison, MetricOrder, compare
from lnat_plugins.ranking.confounds import Confounds, ControlCorrelation
from lnat_plugins.ranking.leaderboard import Leaderboard, leaderboard
from lnat_plugins.ranking.orders import Agreement
from lnat_plugins.ranking.prefixes import PrefixAgreement, prefix_agreement
from lnat_plugins.ranking.raced import RacedRanking, raced
from lnat_plugins.ranking.rank import rank
from lnat_plugins.ranking.reference import Reference, ReferenceFit, read_reference
from lnat_plugins.ranking.result import Ranking, TeacherRank

__all__ = [
    "Agreement",
    "Comparison",
    "Confounds",
    "ControlCorrelation",
    "Leaderboard",
    "MetricOrder",
    "PrefixAgreement",
    "RacedRanking",
    "Ranking",
    "Reference",
    "ReferenceFit",
    "Stability",
    "TeacherRank",
    "compare",
    "leaderboard",
    "prefix_agreement",
    "raced",
    "rank",
    "read_reference",
]
