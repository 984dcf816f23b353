"""Prefetches: downloads of models from the hub to a worker, before a job needs them."""
