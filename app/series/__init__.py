"""Numbers over steps: the line over all attempts of a job, and the compressed blocks that are read for plots and polls. No HTTP."""
