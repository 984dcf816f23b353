"""Several processes (ranks) that train one job together: starting and watching them, dividing the work, summing the results.

Nothing here depends on the model or the training loop. With one rank, every function returns its input.
"""
