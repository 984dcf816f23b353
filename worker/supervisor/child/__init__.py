"""The training process: starting it, stopping it, and reading how it ended. Nothing here talks to the server."""
