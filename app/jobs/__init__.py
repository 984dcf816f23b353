"""Jobs: submission, states, lists, queue positions, and what the end of an attempt does to its job. Attempts are written in attempts."""
