"""Traces a step of a fake model to measure the memory that it would take. Nothing here decides anything."""
