"""Health of running jobs: judges a run when its worker reports, and stores the findings and their acknowledgements."""
