"""A plain PyTorch program that works in one run directory: `python -m worker.training RUN_DIR`. Uses no queue or network."""
