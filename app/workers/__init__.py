"""Workers: their devices, models and versions, and when they were last seen. Routes for workers are in attempts/, the assignment of jobs in jobs/queue/."""
