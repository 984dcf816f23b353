"""Jobs: submission, states, lists, queue positions, and transitions. Only app.attempts modifies attempts."""
