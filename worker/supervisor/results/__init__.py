"""Uploads what an attempt leaves behind: checkpoints, adapter, logs, and its outcome.

Nothing here starts or stops training.
"""
