"""Values over steps: the line over all attempts of a job, and the thinned blocks behind plots. No HTTP."""
