"""Mirrors an attempt's metrics to Weights & Biases in a process of its own, which can neither delay nor fail the attempt."""
