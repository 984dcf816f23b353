"""Keeps a run within the device's memory: token budget, first try, and recovery.

The effective batch never changes here.
"""
