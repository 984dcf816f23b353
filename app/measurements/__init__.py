"""Measurements: users can have a worker count a dataset's tokens with a model's own tokenizer, and read the result."""
