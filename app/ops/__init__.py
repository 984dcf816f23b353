"""The server as a process on a host."""
