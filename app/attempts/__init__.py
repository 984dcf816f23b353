"""Routes for workers: claiming jobs, reporting records, and ending attempts. Contains no public routes."""
