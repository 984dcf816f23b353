"""Operating the server: health, logs, process limits and memory. Nothing about jobs."""
