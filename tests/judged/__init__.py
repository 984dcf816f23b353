"""Summaries of runs with the verdicts that they must get. The tests that judge them are in tests/contracts and tests/app/reports."""
