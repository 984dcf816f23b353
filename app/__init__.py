"""The HTTP server. It owns the database, which is the source of truth. It never imports torch or the worker."""
