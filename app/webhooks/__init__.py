"""Webhooks: endpoints, the outbox of events, and their delivery. It does not know why a job ended, and no job waits for it."""
