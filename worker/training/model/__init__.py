"""Loads a base model in 4-bit precision, adds the adapter, and verifies the engine's assumptions.

Nothing here reads rows or trains.
"""
