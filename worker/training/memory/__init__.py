"""Keeps a run within the device's memory: token budget, rehearsal, and recovery.

The effective batch never changes here.
"""
