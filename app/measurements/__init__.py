"""Measurements: users have the tokens of a dataset counted by a model's own tokenizer, and read the result."""
