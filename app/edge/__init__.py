"""Runs before the routes: connections, limits, allowed hosts and origins, request ids. Knows nothing about jobs."""
