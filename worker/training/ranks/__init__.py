"""Several processes (ranks) that train one job together: starting and watching them, dividing the work, summing the results.

Nothing here knows about a model or the loop. With one rank, every function returns its input.
"""
