"""Prefetches: downloads of models from the hub to a worker, before a job needs them. Nothing here contacts the hub; datasets are in imports/."""
