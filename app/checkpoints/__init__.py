"""Checkpoints: which ones to store, keep and offer for resuming. A job's other output files are in artifacts/."""
