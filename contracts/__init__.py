"""Messages and formats shared by the server and the worker. Uses only pydantic and the standard library."""
