"""Loads a base model in 4 bits, adds the adapter, and proves what the engine relies on.

Nothing here reads rows or trains.
"""
