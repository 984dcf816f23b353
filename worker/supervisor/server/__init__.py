"""What a worker says to the server over HTTP, and what each answer means.

The only HTTP client of the worker besides the hub's; it decides nothing about an attempt.
"""
