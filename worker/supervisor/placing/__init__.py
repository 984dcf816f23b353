"""Fills a run directory before training starts: spec, model, data, and the checkpoint to resume from.

Nothing here starts or follows the training process.
"""
