"""Helpers for all Stepline processes: environment variables, arguments, privacy, exit with the parent. Nothing here imports another package."""
