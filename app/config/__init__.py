"""The server's settings and allowed hosts. Reads the environment and imports no other package of the server."""
