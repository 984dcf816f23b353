"""Turns the rows of a dataset into samples and batches. Nothing here needs the model's weights."""
