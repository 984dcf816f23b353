"""Series of values by step: the line across a job's attempts, and thinned blocks for plots. Contains no HTTP code."""
