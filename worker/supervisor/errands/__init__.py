"""Runs errands: short tasks beside the attempts, outside the training slot. They use no GPU.

Start reading in lane.py.
"""
