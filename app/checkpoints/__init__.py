"""Checkpoints in the server's storage: what a worker hands in, what the next attempt starts from."""
