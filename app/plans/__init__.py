"""Plans: forecasts of a job's memory, time and tokens, stored with the job and corrected by the results of finished jobs. Nothing here loads a model."""
