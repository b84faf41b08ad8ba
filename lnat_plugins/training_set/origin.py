"""Where chosen rows and their scores come from, as far as the files are to tell it.

Knows nothing of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Origin:
    """What a reader of the training set may want to look up.

    Attributes:
        task: name of the teacher set or of the data set.
        files: the files read, as they were named.
        scoring: how the rows were scored: settings, their fingerprint, splitter, engine paths.
        versions: package -> version that scored; several versions joined by ", ".
    """

    task: str = ""
    files: tuple[str, ...] = ()
    scoring: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
