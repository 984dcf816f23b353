"""Helpers for all Stepline processes: filtering environment variables, preventing inspection, exiting with the parent."""
