"""Keeps a run within the device's memory: token budget, rehearsal, and recovery.

Nothing here changes the effective batch.
"""
