"""The report of a job that succeeded: as JSON, as the boxed text, as Markdown."""
