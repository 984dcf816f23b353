"""Errands: short tasks of workers beside their attempts. Creates them, hands them to workers, and keeps their results for a while."""
