"""Plans: what a job will need and how long it will take, kept with the job and corrected by finished jobs. Nothing here loads a model."""
