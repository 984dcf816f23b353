"""Submission of a job: its datasets, its plan, and the row that is stored. Nothing here changes a stored job."""
