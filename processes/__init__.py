"""Helpers for all Stepline processes: environment variables, arguments, privacy, logs, exit with the parent. Nothing here imports another package of the project."""
