"""Naturalness tasks for lm-evaluation-harness: YAML and data, no code."""
