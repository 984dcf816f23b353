"""Updates a job when its attempt ends: the job ends too, waits for a retry, or fails because of its devices.

Does not read requests or change attempts.
"""
