"""The child process: checks the file on standard input, subject to limits, and writes messages to standard output.

The server runs it as `python -m app.datasets.validation SERVER_PID REQUEST`. It exits when the server does.
"""

import os
import sys

from app.datasets.validation.request import CheckRequest
from processes.parent import die_with_parent

PRIORITY = 10
"""Added to the nice value, so that users' requests take precedence."""


def main(parent_pid: int, request: CheckRequest) -> None:
    """Confine this process, then check the file."""
    die_with_parent(parent_pid)
    answers = os.dup(sys.stdout.fileno())
    # Output printed by a library must not corrupt a message.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.nice(PRIORITY)
    # The child must not outlive a server that exits during these imports.
    from app.datasets.conversion.confine import confine  # noqa: PLC0415
    from app.datasets.validation.child import check  # noqa: PLC0415

    confine(request.limits)
    with (
        os.fdopen(answers, "wb", buffering=0) as output,
        open(0, "rb", closefd=False) as file,
    ):
        check(file, request, output)


if __name__ == "__main__":
    main(int(sys.argv[1]), CheckRequest.load(sys.argv[2]))
