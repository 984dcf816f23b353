"""Measures how many jobs per second the server accepts, and the cost of each kind of request. Nothing here trains."""
