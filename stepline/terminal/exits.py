"""The exit statuses of the commands. Scripts rely on them; docs/cli.md lists them."""

SUCCEEDED = 0
FAILED = 1
USAGE = 2
CANCELLED = 3
PAUSED = 4
UNREACHABLE = 5
TIMED_OUT = 124
"""As timeout(1)."""
INTERRUPTED = 130
TERMINATED = 143
"""SIGTERM ended the command."""

OF_STATUS = {"succeeded": SUCCEEDED, "failed": FAILED, "cancelled": CANCELLED, "paused": PAUSED}
"""Exit statuses by the status with which watching a job ends: a final one, or `paused`."""
