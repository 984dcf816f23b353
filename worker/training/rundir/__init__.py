"""The files of a run directory while a run lasts: records, progress, control, checkpoints, outcome.

Nothing here knows of a model.
"""
