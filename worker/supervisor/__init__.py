"""The light half of a worker: claims, starts the training child, carries its records. Never imports torch."""
