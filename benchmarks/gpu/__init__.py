"""Measures the training engine on this host's GPU and writes one Markdown table. Nothing here needs a network."""
