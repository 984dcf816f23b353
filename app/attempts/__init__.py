"""Worker routes: claiming jobs, reporting records, and ending attempts. Contains no public routes."""
