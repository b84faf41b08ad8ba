"""Hook implementations that ship with the package, loaded by name as a stranger's plugin is."""
