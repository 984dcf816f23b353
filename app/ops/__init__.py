"""Operating the server: health, logs, process limits and memory. Knows nothing about jobs."""
