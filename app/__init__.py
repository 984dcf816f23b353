"""The HTTP server: owns the database and the truth. Never imports torch or the worker."""
