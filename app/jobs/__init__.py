"""Jobs: submission, states, lists, queue positions, and the transition of a job when its attempt ends. Only app.attempts writes attempts."""
