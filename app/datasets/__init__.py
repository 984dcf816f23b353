"""Uploaded datasets: checked row by row, kept by content hash."""
