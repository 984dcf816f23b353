"""Renders conversations with the model's chat template and finds the answers in the text. Nothing here creates tokens or samples."""
