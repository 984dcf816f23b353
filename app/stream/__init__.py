"""Server-Sent Events for jobs: one database read serves all listeners of a job. Responses to single requests are in history/."""
