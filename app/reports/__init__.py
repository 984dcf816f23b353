"""The report of a successful job: as JSON, boxed text or Markdown."""
