"""LNAT_TRACE_PLUGINS=1: every hook call on stderr, with its arguments and its result.

Knows nothing of what the hooks are for. Values are shortened: a pool may hold 100,000 rows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence, Sized
from dataclasses import fields, is_dataclass
from typing import Any, Final

import pluggy

from lnat_plugins.errors import shorten

VARIABLE: Final = "LNAT_TRACE_PLUGINS"
_LIMIT: Final = 300


def install(manager: pluggy.PluginManager) -> None:
    """Print the manager's calls from now on, if the environment asks for it."""
    if os.environ.get(VARIABLE, "0") not in ("", "0"):
        manager.add_hookcall_monitoring(_before, _after)


def _before(hook: str, called: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]) -> None:
    given = ", ".join(f"{name}={brief(value)}" for name, value in arguments.items())
    for each in called:
        _print(f"{each.plugin_name}: {hook}({given})")


def _after(
    outcome: pluggy.Result[Any],
    hook: str,
    called: Sequence[pluggy.HookImpl],
    arguments: Mapping[str, Any],
) -> None:
    for each in called:
        _print(f"{each.plugin_name}: {hook} -> {_told(outcome)}")


def _told(outcome: pluggy.Result[Any]) -> str:
    """What the one plugin that was called answered."""
    if (raised := outcome.exception) is not None:
        return f"raised {type(raised).__name__}: {shorten(str(raised))}"
    answer = outcome.get_result()
    if isinstance(answer, list):  # what pluggy makes of hooks that are not asked for one answer
        answer = answer[0] if answer else None
    return brief(answer)


def _print(line: str) -> None:
    print(f"lnat: trace: {line}", file=sys.stderr)


def brief(value: object) -> str:
    """A value in a few words: what is long or nested is only counted or named."""
    if not is_dataclass(value) or isinstance(value, type):
        return _word(value)
    parts = (f"{each.name}={_word(getattr(value, each.name))}" for each in fields(value))
    text = f"{type(value).__name__}({', '.join(parts)})"
    return text if len(text) <= _LIMIT else f"{text[: _LIMIT - 3]}..."


def _word(value: object) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return shorten(value)
    if isinstance(value, Sized):
        return f"<{type(value).__name__} of {len(value)}>"
    return f"<{type(value).__name__}>"
