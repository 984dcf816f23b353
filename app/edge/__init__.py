"""Handles every request before its route does: connections and their limits, allowed hosts and origins, request ids. Knows nothing about jobs."""
