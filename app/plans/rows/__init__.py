"""The rows of a job: a sample of them, their token counts, and how they are packed and truncated; not memory or time."""
