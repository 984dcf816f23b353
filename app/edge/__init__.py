"""Handling of every request before its route: connections and their limits, allowed hosts and origins, request ids. Nothing about jobs."""
