"""The splitter `shouts`: a step ends where somebody has shouted."""

from __future__ import annotations

import re

from lnat_plugins import Splitter
from lnat_plugins.steps import Span, tile

_SHOUT = re.compile(r"!+")


def split_shouts(text: str) -> list[Span]:
    """Cuts behind every run of exclamation marks, in linear time.

    Does not look at full stops, line breaks or code.
    """
    return tile(text, (match.end() for match in _SHOUT.finditer(text)))


SPLITTER = Splitter("shouts", "1", split_shouts)
