"""Series of values by step: the line across a job's attempts, and the thinned blocks for plots. Contains no HTTP code."""
