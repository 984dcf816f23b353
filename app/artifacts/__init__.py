"""Artifacts: files of a job that users can download."""
