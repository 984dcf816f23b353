"""The light half of a worker: claims jobs, starts the training child, uploads its records. Never imports torch."""
