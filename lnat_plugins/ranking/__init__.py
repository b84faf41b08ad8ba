"""From scored responses to teachers in order, with how sure that is.

Knows no files and no hosts.
"""

from __future__ import annotations

from lnat_plugins.ranking.markdown import to_markdown
from lnat_plugins.ranking.rank import rank
from lnat_plugins.ranking.result import Agreement, LengthCorrelation, Ranking, TeacherRank

__all__ = ["Agreement", "LengthCorrelation", "Ranking", "TeacherRank", "rank", "to_markdown"]
