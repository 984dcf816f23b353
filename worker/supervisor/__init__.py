"""The part of a worker that claims jobs, starts the training process and uploads its records. Never imports torch."""
