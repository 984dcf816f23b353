"""The child process: reviews the rows on standard input, subject to limits, and writes the result to standard output.

The server runs it as `python -m app.datasets.review SERVER_PID REQUEST`. It exits when the server does.
"""

import os
import sys
import time

from app.datasets.conversion.confine import confine
from app.datasets.review.request import READING_SHARE, Request, dump_answer
from app.datasets.review.reviewer import review_rows
from processes.parent import die_with_parent

NICENESS = 10
"""Added to the nice value, so that the server's requests take precedence over a review."""


def main(parent_pid: int, request: Request) -> None:
    """Confine this process, then review the rows."""
    die_with_parent(parent_pid)
    os.nice(NICENESS)
    confine(request.limits)
    end = time.monotonic() + READING_SHARE * request.limits.seconds
    with open(0, "rb", closefd=False) as lines:
        reviewed = review_rows(lines, request.rows, lambda: time.monotonic() > end)
    sys.stdout.buffer.write(dump_answer(reviewed))


if __name__ == "__main__":
    main(int(sys.argv[1]), Request.load(sys.argv[2]))
