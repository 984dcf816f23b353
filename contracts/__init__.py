"""The messages and formats that the server and the worker share. Uses only pydantic and the standard library."""
