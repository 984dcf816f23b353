"""Artifacts: a job's output files, which users can download."""
