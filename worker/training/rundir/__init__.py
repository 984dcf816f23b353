"""The files of a run directory during a run: records, progress, control, checkpoints, outcome.

Nothing here depends on a model.
"""
