"""Starts and kills the training process; outcome.py reads how it ended.

The child gets an allowlisted environment (no token, no address), its own session and an empty stdin. It cannot inspect
this process (processes/privacy.py). It does not outlive this process: it receives our process id and asks the kernel for a
parent-death signal. The kernel sends that signal when the thread that started the child ends, so only the main thread
may call `start_child`.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from contracts.attempt import Device
from contracts.run.run_dir import RunDir
from processes.environment import BASIC, COMPUTE, choose
from processes.oom import count_oom_kills
from worker.supervisor.host.cards.held_cards import HeldCard

LOCK_FDS = "STEPLINE_LOCK_FDS"
"""Environment variable with the descriptors of the inherited locks. The training program passes them to its ranks."""
PROGRAM = ("-m", "worker.training")


class Child:
    """One training process and the group it leads."""

    def __init__(self, process: subprocess.Popen[bytes], oom_kills: int) -> None:
        self._process = process
        self.oom_kills = oom_kills
        """The cgroup's count of out-of-memory kills when the child started."""
        self.exit_code: int | None = None
        """None until the child has ended; -N if signal N ended it."""

    @property
    def pid(self) -> int:
        """The child's process id, which is also its group id."""
        return self._process.pid

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for the child to end; return whether it has ended. If so, also kill the rest of its group."""
        end = time.monotonic() + seconds
        while self.exit_code is None:
            # Check without reaping: until the child is reaped, the kernel cannot reuse its group id, which we need for the kill.
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self._kill_group()
                self.exit_code = self._process.wait()
                break
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, 0.02))
        return True

    def wait_for_group(self, seconds: float) -> bool:
        """Wait at most `seconds` for the rest of an ended child's group, which has been killed; return whether it has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.02)
        return False

    def terminate(self) -> None:
        """Ask the child to stop at the next micro-batch (SIGTERM)."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the child and its whole group immediately (SIGKILL)."""
        if self.exit_code is None:
            self._kill_group()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # the whole group has ended
            os.killpg(self.pid, signal.SIGKILL)


def start_child(
    run_dir: RunDir,
    cards: Sequence[HeldCard],
    environ: Mapping[str, str],
    program: tuple[str, ...] = PROGRAM,
) -> Child:
    """Start the training program in a run directory. The child inherits the locks of its cards; rank r uses the r-th card."""
    locks = [card.lock_fd for card in cards]
    environment = child_environment([card.device for card in cards], environ)
    oom_kills = count_oom_kills()
    with run_dir.output.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *program, "--parent-pid", str(os.getpid()), str(run_dir.path)],
            cwd=run_dir.path,
            env=environment | {LOCK_FDS: ",".join(map(str, locks))},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=locks,
        )
    return Child(process, oom_kills)


def child_environment(devices: Sequence[Device], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the training process's environment: the allowlisted variables, the devices, and no access to the hub."""
    passed = choose(environ, *BASIC, *COMPUTE)
    visible = ",".join(device.uuid or "" for device in devices if device.kind == "cuda")
    return passed | {
        "CUDA_VISIBLE_DEVICES": visible,
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # its working directory is the run directory; never import from there
        "TOKENIZERS_PARALLELISM": "true",
    }
