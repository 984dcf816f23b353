"""Loads a base model in 4 bits, adds the adapter, and verifies the engine's assumptions.

Nothing here reads rows or trains.
"""
