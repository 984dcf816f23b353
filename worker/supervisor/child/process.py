"""The training process: start it and end it. How it ended is read in outcome.py.

It gets an environment by allowlist (no token, no address), its own session, nothing on stdin, and dies with
this process, into which it cannot look (processes/privacy.py): it is told our process id and asks the kernel for a parent-death signal. That signal follows the
thread that started it, so only a main thread may call `start_child`.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from contracts.attempt import Device
from contracts.run_dir import RunDir
from processes.environment import BASIC, COMPUTE, choose
from worker.supervisor.child.oom import count_oom_kills

PROGRAM = ("-m", "worker.training")


class Child:
    """One training process and the group it leads."""

    def __init__(self, process: subprocess.Popen[bytes], oom_kills: int) -> None:
        self._process = process
        self.oom_kills = oom_kills
        """Out-of-memory kills of our cgroup when it started."""
        self.exit_code: int | None = None
        """Set once it has ended; negative: the number of the signal that ended it."""

    @property
    def pid(self) -> int:
        """Process id, which is its group's as well."""
        return self._process.pid

    def wait(self, seconds: float) -> bool:
        """Wait at most so long for its end; return whether it has ended. What is left of its group ends with it."""
        end = time.monotonic() + seconds
        while self.exit_code is None:
            # Looked at without reaping, so that the group's number cannot be anyone else's when it is killed.
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self._kill_group()
                self.exit_code = self._process.wait()
                break
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, 0.02))
        return True

    def terminate(self) -> None:
        """Ask it to stop at the next micro-batch (SIGTERM)."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its whole group at once (SIGKILL)."""
        if self.exit_code is None:
            self._kill_group()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # nothing of it is left
            os.killpg(self.pid, signal.SIGKILL)


def start_child(
    run_dir: RunDir,
    device: Device,
    lock_fd: int,
    environ: Mapping[str, str],
    program: tuple[str, ...] = PROGRAM,
) -> Child:
    """Start the training program over a run directory. It inherits the device's lock."""
    oom_kills = count_oom_kills()
    with run_dir.output.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *program, "--parent-pid", str(os.getpid()), str(run_dir.path)],
            cwd=run_dir.path,
            env=child_environment(device, environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock_fd,),
        )
    return Child(process, oom_kills)


def child_environment(device: Device, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the training process's environment: what may be passed on, the device, and no hub."""
    passed = choose(environ, *BASIC, *COMPUTE)
    visible = (device.uuid or "") if device.kind == "cuda" else ""
    return (
        passed
        | {
            "CUDA_VISIBLE_DEVICES": visible,
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONSAFEPATH": "1",  # the run directory is its working directory, and no place to import from
            "TOKENIZERS_PARALLELISM": "true",
        }
    )
