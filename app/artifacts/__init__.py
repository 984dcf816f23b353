"""Artifacts: a job's output files, which users can download. Checkpoints are in checkpoints/, and uploaded files in files/."""
