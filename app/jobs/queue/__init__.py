"""The order of queued jobs, which of them a worker gets, and which one a host is reserved for.

No transition except queued → running belongs here; the others are in jobs/transitions.py and jobs/endings.
"""
