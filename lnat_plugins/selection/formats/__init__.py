"""Chosen rows as other programs read them: a format a trainer, each in a table by name.

Knows no trainer's code: the files follow the sources and documentation that each module names, and
`tests/trainers.py` reads them back with the trainers' own loaders where those can be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lnat_plugins.selection.formats.axolotl import AXOLOTL
from lnat_plugins.selection.formats.base import Chosen, Format
from lnat_plugins.selection.formats.labels import KTO
from lnat_plugins.selection.formats.llama_factory import LLAMA_FACTORY
from lnat_plugins.selection.formats.messages import OPEN_INSTRUCT, UNSLOTH, VERL
from lnat_plugins.selection.formats.ms_swift import MS_SWIFT
from lnat_plugins.selection.formats.nemo_rl import NEMO_RL
from lnat_plugins.selection.formats.pairs import PREFERENCE
from lnat_plugins.selection.formats.trl import TRL, TRL_MESSAGES

__all__ = ["FORMATS", "Chosen", "Format"]

_ALL: Final = (
    TRL, TRL_MESSAGES, PREFERENCE, KTO, LLAMA_FACTORY, MS_SWIFT, VERL, NEMO_RL, AXOLOTL,
    OPEN_INSTRUCT, UNSLOTH,
)  # fmt: skip

FORMATS: Final[Mapping[str, Format]] = MappingProxyType({one.name: one for one in _ALL})
