"""Kills commands at random moments and compares what the next run gives: `python tests/torture`."""
