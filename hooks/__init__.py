"""Hook implementations that ship with the package, loaded by name as any other plugin is.

Each is a model for a plugin of your own; docs/plugins.md says how to write one.
"""

from __future__ import annotations
