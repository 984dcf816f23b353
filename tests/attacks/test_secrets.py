"""A training program that tries to read secrets. It runs as the same user as its worker and the rest of Stepline.

The program here runs as that user without privileges, like an ordinary user's training program. It tries every way that
the kernel offers to read the environment of another process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes.privacy import ALLOW_TRACING
from tests.cli.up import Up, running_up
from tests.e2e.service import wait_for
from tests.programs.processes import children_of

# Root may inspect every process. A process started like this has root's uid, but none of root's privileges.
UNPRIVILEGED = ("setpriv", "--bounding-set=-all") if os.geteuid() == 0 else ()
SPY = """
import ctypes, json, os, sys

pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)

def read(name):
    with open(f"/proc/{pid}/{name}", "rb") as file:
        file.read(64)

def attach():
    if libc.ptrace(16, pid, None, None):  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(pid, 0)
    libc.ptrace(17, pid, None, None)  # PTRACE_DETACH

def copy():
    with open(f"/proc/{pid}/stat") as file:
        start = int(file.read().rpartition(")")[2].split()[47])  # the start of its environment, if the kernel shows it
    buffer = ctypes.create_string_buffer(64)
    class Piece(ctypes.Structure):
        _fields_ = [("at", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]
    here = Piece(ctypes.addressof(buffer), 64)
    there = Piece(start or ctypes.addressof(buffer), 64)
    if libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "process_vm_readv")

ways = {
    "environ": lambda: read("environ"),
    "mem": lambda: open(f"/proc/{pid}/mem", "rb").close(),
    "maps": lambda: read("maps"),
    "files": lambda: os.readlink(f"/proc/{pid}/fd/1"),
    "attach": attach,
    "copy": copy,
}
open_ways = []
for name, way in ways.items():
    try:
        way()
    except OSError as error:
        if error.errno not in (1, 13):  # EPERM, EACCES
            raise
    else:
        open_ways.append(name)
print(json.dumps(open_ways))
"""


def _ways_into(pid: int) -> list[str]:
    result = subprocess.run(
        [*UNPRIVILEGED, sys.executable, "-c", SPY, str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found: list[str] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    variables = {ALLOW_TRACING: "", "HF_TOKEN": "hf_secret"}
    place = tmp_path_factory.mktemp("up")
    with running_up(place, prefix=UNPRIVILEGED, variables=variables) as running:
        running.wait_until_ready()
        yield running


def _processes(up: Up) -> dict[str, int]:
    """Return the processes that hold secrets, by role."""
    found = {"up": up.process.pid}
    for pid in children_of(up.process.pid):
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if "app.main" in command:
            found["api"] = pid
        if "worker.celery_app" in command:
            found["worker"] = pid
            for child in children_of(pid):
                found["pool"] = child
    return found


def test_an_ordinary_process_can_be_inspected() -> None:
    with subprocess.Popen([*UNPRIVILEGED, "sleep", "60"]) as ordinary:
        wait_for(lambda: "sleep" in Path(f"/proc/{ordinary.pid}/comm").read_text(), 5, lambda: "")

        ways = _ways_into(ordinary.pid)
        ordinary.kill()

    assert {"environ", "maps", "files"} <= set(ways)


def test_no_stepline_process_that_holds_a_secret_can_be_inspected(up: Up) -> None:
    wait_for(lambda: "pool" in _processes(up), 10, lambda: up.output)

    ways = {name: _ways_into(pid) for name, pid in _processes(up).items()}

    assert ways == {"up": [], "api": [], "worker": [], "pool": []}
