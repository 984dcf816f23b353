"""What every program of Stepline does as a process: which variables it gets, who may look into it, and with whom it dies."""
