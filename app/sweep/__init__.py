"""Periodic work of one server process: expired leases, due retries, rings, and orphaned files."""
