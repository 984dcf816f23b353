"""Keeps the server up to date while an attempt runs: sends records, output and notes, and paces the syncs.

File uploads belong in results/.
"""
