"""Reads every file that is not plain JSON, in a child process with limits on time and memory.

The server imports `process` and starts the child (`python -m app.datasets.conversion`). Only the child imports the
other modules, and with them pyarrow. docs/decisions/0011 gives the reasons.
"""
