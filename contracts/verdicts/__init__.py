"""Verdicts on the figures of a run. All rules and thresholds of the service are in this package.

`course.py` has the rules over losses by step, for finished runs and for the history of running ones; `rows.py` has the
rules over the data; `judge.py` applies both to a finished run. docs/numbers.md gives the reason for each threshold.
"""
