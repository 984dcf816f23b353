"""Code that every Stepline program needs as a process: the variables it gets, and protection from inspection. Not a place for helpers."""
