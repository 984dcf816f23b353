"""Runs the processes of the sides, measures their memory, and creates the environment of the peers."""

import math
import os
import re
import subprocess
import sysconfig
import time
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PEERS_ENVIRONMENT = Path.home() / ".cache" / "stepline" / "benchmark-peers"


TRL = "trl==1.16.0"


TOO_LONG = "the time limit was reached"


_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


def run_process(
    command: list[str],
    output: Any,
    ends_at: float = math.inf,
    variables: Mapping[str, str] | None = None,
) -> int:
    """Run a process until it exits; return its peak resident memory in bytes.

    Raises SystemExit if it is still running at `ends_at`, a time of the monotonic clock; the process is then killed.
    """
    environment = {"OMP_WAIT_POLICY": "passive"} | os.environ  # as in the training program
    environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"} | dict(
        variables or {}
    )
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    peak = 0
    while process.poll() is None:
        peak = max(peak, peak_bytes_so_far(process.pid))
        if time.monotonic() > ends_at:
            process.kill()
            process.wait()
            raise SystemExit(TOO_LONG)
        time.sleep(0.02)
    return peak


def peak_bytes_so_far(pid: int) -> int:
    """Return a process's peak resident memory in bytes; 0 once it has ended. rusage would include its parent's memory at the fork."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return 1024 * int(found.group(1)) if found else 0


def peers_python() -> Path:
    """Return the interpreter of the peers' environment, created on first use: TRL on top of Stepline's packages."""
    python = PEERS_ENVIRONMENT / "bin" / "python"
    if not list(PEERS_ENVIRONMENT.glob("lib/python*/site-packages/trl")):
        venv.create(PEERS_ENVIRONMENT, with_pip=True)
        (site,) = (PEERS_ENVIRONMENT / "lib").glob("python*/site-packages")
        (site / "stepline.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", TRL], check=True)
    return python
