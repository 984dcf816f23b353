"""Server-Sent Events of jobs: one read of the database serves all listeners of a job."""
