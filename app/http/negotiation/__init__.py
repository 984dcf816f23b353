"""Content negotiation: Accept header weights, response format, and language.

Does not write responses.
"""
