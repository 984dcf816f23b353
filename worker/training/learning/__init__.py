"""The mathematics of training: loss, optimizer, evaluation, early stopping, and the watchdog.

Each part works on its own, without a Run.
"""
