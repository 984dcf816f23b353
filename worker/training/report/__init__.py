"""The report of a finished run: summary, choices, FLOPs. Nothing here changes the run."""
