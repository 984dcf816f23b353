"""Keeps the server up to date while an attempt runs: records, output, notes, and the pace of the syncs.

File uploads belong in results/.
"""
