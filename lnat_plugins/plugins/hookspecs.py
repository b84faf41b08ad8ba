"""The hooks: what a plugin may implement. `docs/plugins.md` has a section for each."""

from __future__ import annotations

import pluggy

from lnat_plugins.plugins.registry import Registry
from lnat_plugins.selection import Selection, SelectionSpec, Student
from lnat_plugins.teacher_set import Candidates

hookspec = pluggy.HookspecMarker("lnat_plugins")
hookimpl = pluggy.HookimplMarker("lnat_plugins")


@hookspec
def lnat_register(registry: Registry) -> None:
    """Add named splitters, metrics, strategies and loaders.

    Called once for each plugin whenever plugins are loaded, in the order of loading; must not
    load a model or read data. A name that is taken raises and names both owners.
    """


@hookspec(firstresult=True)
def lnat_select(
    candidates: Candidates, student: Student, config: SelectionSpec
) -> Selection | None:
    """Decide which rows to train on; None leaves it to the plugin that was loaded before.

    A decider: what it raises ends the run, and what it returns is checked. Plugins are called from
    the last one loaded to the first, until one answers; the built-in answer is
    `lnat_plugins.selection.choose`.
    """


@hookspec
def lnat_selected(selection: Selection) -> None:
    """Called with what was chosen: for reports, trackers and model cards.

    An observer: what it raises is a warning with the plugin's name, and the others still run.
    """
