"""Starts and stops the training process, and reads its outcome. Nothing here talks to the server."""
