"""The worker's room: claim, sync, upload, finish. Every write carries the attempt's token."""
