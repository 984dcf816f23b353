import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts.attempt import Device, Outcome
from contracts.failure import FailureReason
from contracts.run.run_dir import RUNAWAY_SIGNAL, RunDir, write_model
from tests.worker.supervisor.builders import hold, place
from worker.supervisor.child.outcome import read_outcome
from worker.supervisor.child.process import Child, child_environment, start_child


def _start(run_dir: RunDir, code: str, lock_fd: int, **environ: str) -> Child:
    environment = dict(os.environ) | environ
    return start_child(run_dir, [hold(lock_fd)], environment, program=("-c", code))


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    path = tmp_path / "att_1"
    path.mkdir()
    return RunDir(path)


@pytest.fixture
def lock_fd(tmp_path: Path) -> int:
    return os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)


def test_the_child_gets_no_secrets_no_server_url_and_no_hub_access(
    run_dir: RunDir, lock_fd: int
) -> None:
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    process = _start(
        run_dir,
        code,
        lock_fd,
        STEPLINE_WORKER_TOKEN="secret",
        STEPLINE_SERVER_URL="http://x",
        HF_TOKEN="hf_secret",
        OMP_NUM_THREADS="1",
        BNB_CUDA_VERSION="128",
        NCCL_DEBUG="INFO",
        TORCH_LOGS="+dynamo",
        NCCL_API_TOKEN="nccl",
        NVIDIA_API_KEY="nv",
        AWS_SECRET_ACCESS_KEY="aws",
    )

    assert process.wait(10)
    seen = json.loads(run_dir.output.read_text())
    secrets = ("STEPLINE_", "HF_T", "AWS_", "NVIDIA_A", "NCCL_API")
    assert {name for name in seen if name.startswith(secrets)} == {"STEPLINE_LOCK_FDS"}
    assert (seen["OMP_NUM_THREADS"], seen["BNB_CUDA_VERSION"]) == ("1", "128")
    assert (seen["NCCL_DEBUG"], seen["TORCH_LOGS"]) == ("INFO", "+dynamo")
    assert seen["HF_HUB_OFFLINE"] == "1"
    assert seen["CUDA_VISIBLE_DEVICES"] == ""


def test_the_child_gets_its_parent_pid_and_run_directory_as_arguments(
    run_dir: RunDir, lock_fd: int
) -> None:
    process = _start(
        run_dir, "import sys, os; print(sys.argv[1:], os.getsid(0) == os.getpid())", lock_fd
    )

    assert process.wait(10)
    expected = ["--parent-pid", str(os.getpid()), str(run_dir.path)]
    assert run_dir.output.read_text() == f"{expected} True\n"


def test_the_child_sees_only_the_gpu_with_the_uuid_of_its_device() -> None:
    device = Device(kind="cuda", uuid="GPU-12")

    assert child_environment([device], {})["CUDA_VISIBLE_DEVICES"] == "GPU-12"


def test_processes_started_by_the_child_end_with_it(run_dir: RunDir, lock_fd: int) -> None:
    code = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(p.pid, flush=True)"
    )
    process = _start(run_dir, code, lock_fd)

    assert process.wait(10)
    grandchild = int(run_dir.output.read_text())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _is_running(grandchild):
        time.sleep(0.01)
    assert not _is_running(grandchild)


def test_a_group_is_waited_for_until_its_last_process_has_ended(
    run_dir: RunDir, lock_fd: int
) -> None:
    code = "import subprocess, time; subprocess.Popen(['sleep', '60']); print(1, flush=True); time.sleep(60)"
    process = _start(run_dir, code, lock_fd)
    while not run_dir.output.read_text():
        assert not process.wait(0.01)

    assert not process.wait_for_group(0.05)
    process.kill()
    assert process.wait(10)
    assert process.wait_for_group(10)


def test_the_outcome_of_an_attempt_is_read_from_the_childs_outcome_file(
    run_dir: RunDir, lock_fd: int
) -> None:
    write_model(run_dir.outcome, Outcome(status="succeeded", step=7))
    process = _start(run_dir, "", lock_fd)
    process.wait(10)

    assert read_outcome(process, run_dir, None) == Outcome(status="succeeded", step=7)


def test_an_attempt_interrupted_by_a_cancel_is_cancelled(run_dir: RunDir, lock_fd: int) -> None:
    write_model(run_dir.outcome, Outcome(status="interrupted", step=7))
    process = _start(run_dir, "", lock_fd)
    process.wait(10)

    assert read_outcome(process, run_dir, "cancelled").status == "cancelled"


def test_a_child_killed_after_a_stop_request_has_not_failed(run_dir: RunDir, lock_fd: int) -> None:
    process = _start(run_dir, "import time; time.sleep(60)", lock_fd)
    process.kill()
    process.wait(5)

    assert read_outcome(process, run_dir, "interrupted") == Outcome(status="interrupted")


@pytest.mark.parametrize(("ranks", "rank"), [(1, None), (2, 0)])
def test_the_end_of_rank_0_is_reported_with_its_number_if_there_are_other_ranks(
    run_dir: RunDir, lock_fd: int, ranks: int, rank: int | None
) -> None:
    place(run_dir, ranks=ranks)
    process = _start(run_dir, "import time; time.sleep(60)", lock_fd)
    process.kill()
    process.wait(10)

    failure = read_outcome(process, run_dir, None).failure

    assert failure is not None
    assert failure.reason is FailureReason.CHILD_KILLED
    assert failure.evidence.get("rank") == rank
    assert failure.detail.startswith("Rank 0: ") == (ranks > 1)


def test_a_job_whose_child_was_killed_from_outside_may_be_retried(
    run_dir: RunDir, lock_fd: int
) -> None:
    process = _start(run_dir, "import time; time.sleep(60)", lock_fd)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(5)

    failure = read_outcome(process, run_dir, None).failure
    assert failure is not None
    assert failure.reason is FailureReason.CHILD_KILLED
    assert failure.reason.is_retryable
    assert failure.evidence == {"exit_code": -9}


def test_a_runaway_chat_template_is_reported_as_a_rejected_model(
    run_dir: RunDir, lock_fd: int
) -> None:
    process = _start(run_dir, "import time; time.sleep(60)", lock_fd)
    os.kill(process.pid, RUNAWAY_SIGNAL)
    process.wait(5)

    failure = read_outcome(process, run_dir, None).failure
    assert failure is not None
    assert failure.reason is FailureReason.MODEL_REFUSED
    assert "chat template" in failure.detail


def test_a_kill_is_reported_as_out_of_memory_if_the_kernels_oom_count_has_risen(
    run_dir: RunDir, lock_fd: int
) -> None:
    process = _start(run_dir, "import time; time.sleep(60)", lock_fd)
    process.oom_kills -= 1
    os.kill(process.pid, signal.SIGKILL)
    process.wait(5)

    failure = read_outcome(process, run_dir, None).failure
    assert failure is not None
    assert failure.reason is FailureReason.OOM_HOST


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("import sys; print('the last line'); sys.exit(3)", "exited with 3"),
        ("import os; print('the last line', flush=True); os.abort()", "was killed by signal 6"),
        ("print('the last line')", "exited with 0"),
    ],
)
def test_a_child_that_exits_without_an_outcome_has_crashed(
    run_dir: RunDir, lock_fd: int, code: str, seen: str
) -> None:
    process = _start(run_dir, code, lock_fd)
    process.wait(10)

    failure = read_outcome(process, run_dir, None).failure
    assert failure is not None
    assert failure.reason is FailureReason.CRASHED
    assert seen in failure.detail
    assert "the last line" in failure.detail


def print_and_exit(line: str, status: int) -> str:
    return f"import sys; print({line!r}, file=sys.stderr); sys.exit({status})"


def print_and_abort(line: str) -> str:
    return f"import os, sys; print({line!r}, file=sys.stderr, flush=True); os.abort()"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            print_and_exit(
                "Error an illegal memory access was encountered at line 97 in file /src/csrc/ops.cu",
                1,
            ),
            FailureReason.DEVICE_FAILED,
        ),
        (
            print_and_exit("Error out of memory at line 54 in file /src/csrc/ops.cu", 1),
            FailureReason.OOM_GPU,
        ),
        (
            print_and_exit("Error unspecified launch failure at line 97 in file /src/a.cu", 3),
            FailureReason.CRASHED,
        ),
        (print_and_exit("Error while reading the dataset", 1), FailureReason.CRASHED),
        (
            print_and_abort("  what():  CUDA error: unspecified launch failure"),
            FailureReason.DEVICE_FAILED,
        ),
        (print_and_abort("  what():  CUDA error: out of memory"), FailureReason.OOM_GPU),
        (print_and_abort("  what():  std::bad_alloc"), FailureReason.CRASHED),
    ],
)
def test_a_cuda_error_that_ends_native_code_is_recognised_by_the_last_line_of_output(
    run_dir: RunDir, lock_fd: int, code: str, reason: FailureReason
) -> None:
    process = _start(run_dir, code, lock_fd)
    process.wait(10)

    failure = read_outcome(process, run_dir, None).failure
    assert failure is not None
    assert failure.reason is reason
    assert "Last lines of its output" in failure.detail


DEEP_STACK = """
import faulthandler, os, sys
faulthandler.enable()
def dive(depth):
    if depth:
        return dive(depth - 1)
    print({line!r}, file=sys.stderr)
    print("CUDA kernel errors might be asynchronously reported at some other API call", file=sys.stderr)
    for number in range(40):
        print(f"frame #{{number}}: c10::impl::f(void*) + 0x{{number:x}} (0x7f in libc10.so)" * 9, file=sys.stderr, flush=True)
    {end}
dive(400)
"""


@pytest.mark.parametrize("end", ["os.abort()", "sys.exit(1)"])
@pytest.mark.parametrize(
    "line",
    [
        "  what():  CUDA error: unspecified launch failure",
        "Error unspecified launch failure at line 97 in file /src/csrc/ops.cu",
    ],
)
def test_an_error_of_native_code_is_found_before_the_long_stacks_that_follow_it(
    run_dir: RunDir, lock_fd: int, line: str, end: str
) -> None:
    process = _start(run_dir, DEEP_STACK.format(line=line, end=end), lock_fd)
    process.wait(20)

    failure = read_outcome(process, run_dir, None).failure
    assert failure is not None
    assert failure.reason is FailureReason.DEVICE_FAILED
    assert "Error in native code: unspecified launch failure" in failure.detail


def test_a_damaged_outcome_file_is_reported_as_a_crash(run_dir: RunDir, lock_fd: int) -> None:
    run_dir.outcome.write_text("{")
    process = _start(run_dir, "", lock_fd)
    process.wait(10)

    failure = read_outcome(process, run_dir, None).failure
    assert failure is not None
    assert failure.reason is FailureReason.CRASHED


def test_the_training_program_is_killed_when_its_supervisor_dies(
    run_dir: RunDir, tmp_path: Path
) -> None:
    # A separate supervisor process, killed as the OOM killer would kill it.
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from contracts.run.run_dir import RunDir\n"
        "from tests.worker.supervisor.builders import hold\n"
        "from worker.supervisor.child.process import start_child\n"
        f"fd = os.open({str(tmp_path / 'lock')!r}, os.O_RDWR | os.O_CREAT)\n"
        "loop = 'import os,sys,time; from processes.parent import die_with_parent;"
        "die_with_parent(int(sys.argv[2])); print(os.getpid(), flush=True); time.sleep(60)'\n"
        f"start_child(RunDir(Path({str(run_dir.path)!r})), [hold(fd)], os.environ, ('-c', loop)).wait(60)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 20
    while not (run_dir.output.exists() and run_dir.output.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.02)

    supervisor.kill()
    supervisor.wait()

    trainer = int(run_dir.output.read_text())
    deadline = time.monotonic() + 1
    while _is_running(trainer):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
