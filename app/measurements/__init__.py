"""Measurements: users can have a worker count a dataset's tokens, and read the result. Nothing here counts; datasets/tokens/ stores the counts."""
