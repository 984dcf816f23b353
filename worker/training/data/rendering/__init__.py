"""Renders conversations with the model's chat template and finds the answers in the text. Tokens and samples are not made here."""
