"""Presets: named settings that a job can start from. Nothing here reads the database."""
