"""Worker routes: claim a job, report its records, end an attempt. Contains no public routes."""
