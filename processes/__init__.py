"""Code that every Stepline program needs as a process: its variables, protection from inspection, death with its parent."""
