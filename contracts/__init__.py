"""What the server and the worker say to each other. Pydantic and the standard library only; no I/O but file names."""
