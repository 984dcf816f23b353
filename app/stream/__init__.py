"""Server-Sent Events of jobs: one look at the database serves every listener of a job."""
