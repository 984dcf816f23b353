"""The report of a successful job: as JSON, boxed text or Markdown. Nothing here computes a figure or decides a verdict."""
