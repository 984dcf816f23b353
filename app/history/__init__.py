"""A job's history for readers: loss, metrics, events, logs, attempts, exports. Writes nothing."""
