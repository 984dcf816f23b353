"""The files of a run directory during a run: records, progress, control, checkpoints, outcome.

Nothing here knows about a model.
"""
