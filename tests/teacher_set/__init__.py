"""Tests of `lnat_plugins.teacher_set`."""
