"""Models: which ones the workers have, and what is known about them before a job runs."""
