"""Database migrations; no application logic."""
