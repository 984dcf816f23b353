"""The messages and formats that server and worker share. Uses only pydantic and the standard library."""
