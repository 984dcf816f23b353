"""The order of queued jobs, the assignment of jobs to workers, and host reservations.

The only transition here is queued → running; the others are in jobs/transitions.py and jobs/endings.
"""
