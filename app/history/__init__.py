"""Read-only access to a job's history: loss, metrics, events, logs, attempts, exports."""
