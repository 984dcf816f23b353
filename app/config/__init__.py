"""The server's settings, and the rules for the host names in them. Reads the environment; does not import other packages of the server."""
