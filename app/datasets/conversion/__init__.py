"""Reads files other than plain JSON in a child process with limits on time and memory.

The server imports `process` and starts the child (`python -m app.datasets.conversion`). Only the child imports the
other modules and pyarrow. docs/decisions/0011 explains why.
"""
