"""The routes of workers: claim a job, report its records, end an attempt. Public routes are elsewhere."""
