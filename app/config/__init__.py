"""The server's settings, and the rules for the host names in them. Reads the environment; imports no other package of the server."""
