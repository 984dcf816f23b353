"""Checkpoints: which ones to store, keep and offer for resuming."""
