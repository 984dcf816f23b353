"""Runs attempts. Never imports the server or a database."""
