"""Errands: short tasks that workers do alongside their attempts. Creates them, hands them to workers, and keeps their results for a while."""
