"""A plain PyTorch program over one run directory: `python -m worker.training RUN_DIR`. No queue, no network."""
