"""Jobs: submission, states, transitions, lists, and the queue. Only app.attempts modifies attempts."""
