"""Server operation: health checks, logs, process limits and memory. Knows nothing about jobs."""
