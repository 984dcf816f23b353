"""The mathematics of training: loss, optimizer, evaluation, early stopping, and the watchdog over them.

Each part works without a whole run.
"""
