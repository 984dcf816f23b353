"""Verdicts on a run's figures. All of the service's rules and thresholds are in this package.

`course.py` contains the loss rules, for finished and running jobs; `rows.py` contains the data rules; `judge.py`
applies both to a finished run. docs/numbers.md explains each threshold.
"""
