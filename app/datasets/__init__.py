"""Checks, stores and lists uploaded datasets."""
