"""Keeps the server up to date while an attempt runs: records, output, notes, and the pace of the syncs.

Uploads of files do not belong here.
"""
