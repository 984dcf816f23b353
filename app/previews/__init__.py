"""Previews: rows of a dataset as a model's chat template renders them, token by token, with the loss mask. Nothing here renders; a worker does."""
