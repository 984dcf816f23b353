"""Checkpoints: which ones are stored, kept and offered for a resume."""
