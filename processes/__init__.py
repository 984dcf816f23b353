"""What every program of Stepline does as a process: which variables it gets, and who may look into it."""
