"""Verdicts: what the figures of a run say about it. All rules and thresholds of the service are in this package.

`course.py` has the rules over losses by step, for finished runs and for the history of running ones; `rows.py` those over the
data; `judge.py` makes a finished run's verdicts of both. docs/numbers.md gives the reason for each threshold.
"""
