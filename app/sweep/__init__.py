"""Periodic work, done by one server process: expired leases, due retries, rings, and orphaned files. Contains no routes, and no rules for jobs."""
