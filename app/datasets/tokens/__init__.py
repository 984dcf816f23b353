"""Stored token counts of datasets, and the effects of `training.max_length` derived from them. Workers, not the server, count the tokens."""
