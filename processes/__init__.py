"""Helpers for all Stepline processes: filter environment variables, prevent inspection, exit with the parent."""
