"""Stored token counts of datasets, and the effects of any `training.max_length` according to them. Workers, not the server, count the tokens."""
