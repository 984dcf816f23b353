"""Requests about a job that are conditional, repeated or kept waiting. Nothing here changes a job."""
