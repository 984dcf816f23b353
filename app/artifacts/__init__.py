"""Artifacts: the files that a job leaves for download."""
