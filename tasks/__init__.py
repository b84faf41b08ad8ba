"""Teacher sets that ship with the package: YAML and data, no code."""
