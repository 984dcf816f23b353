"""Models: which ones workers have, and what is known about them before a job runs. Nothing here reads or downloads model files."""
