"""Uploads the results of an attempt: checkpoints, adapter, logs, and outcome.

Nothing here starts or stops training.
"""
