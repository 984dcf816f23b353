"""The training process: start it, stop it, and read its outcome. Nothing here talks to the server."""
