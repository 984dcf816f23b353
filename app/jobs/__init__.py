"""Jobs: submission, states, lists, queue positions, and a job's transition when its attempt ends. Only app.attempts changes attempts."""
