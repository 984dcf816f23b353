"""Runs errands: short tasks that run alongside attempts, outside the training slot. They use no GPU.

Start reading in lane.py.
"""
