"""What the client accepts: the weights of its Accept headers, the format of the response and the language of its texts.

Nothing here writes a response.
"""
