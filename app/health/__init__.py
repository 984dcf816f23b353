"""Health of running jobs: judges runs when workers report, and stores findings and acknowledgements."""
