"""Webhooks: endpoints, the outbox of events, and their delivery. Knows nothing about why a job ended, and never delays a job."""
