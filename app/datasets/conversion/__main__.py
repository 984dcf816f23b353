"""The child process: reads a file from standard input, subject to limits, and writes frames to standard output.

The server runs it as `python -m app.datasets.conversion SERVER_PID REQUEST`. It exits when the server does.
"""

import os
import sys

from app.datasets.conversion.request import Request
from processes.parent import die_with_parent


def main(parent_pid: int, request: Request) -> None:
    """Confine this process, then convert the file."""
    die_with_parent(parent_pid)
    frames = os.dup(sys.stdout.fileno())
    # Output printed by a library must not corrupt a frame.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # These imports take up most of a short conversion. The child must not outlive a server that exits in the
    # meantime.
    from app.datasets.conversion.confine import confine  # noqa: PLC0415
    from app.datasets.conversion.output import write_frames  # noqa: PLC0415

    confine(request.limits)
    with (
        os.fdopen(frames, "wb", buffering=256 * 1024) as output,
        open(0, "rb", closefd=False) as file,
    ):
        write_frames(file, request, output)


if __name__ == "__main__":
    main(int(sys.argv[1]), Request.load(sys.argv[2]))
