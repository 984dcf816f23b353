"""The messages and formats that server and worker share. Pydantic and the standard library only; file I/O only on file names."""
