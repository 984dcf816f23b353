"""What happens to a job when its attempt ends: it ends too, waits for a retry, or fails because of its devices.

Nothing here reads a request or changes an attempt.
"""
