"""Stored token counts of datasets, and what they say about any `training.max_length`. Workers count the tokens, not the server."""
