"""Checkpoints: which are stored, kept and offered for a resume."""
