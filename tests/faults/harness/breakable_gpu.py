"""A worker with a GPU that a test can break: `python -m tests.faults.harness.breakable_gpu FILE`. The GPU is broken while FILE exists.

The worker is real, but its NVML driver is a stub that has one GPU. Its training program is real too. It runs on the CPU, and
raises a CUDA error at the next micro-batch once the GPU is broken. The check of the device fails while it is broken.
"""

import functools
import os
import runpy
import sys
from pathlib import Path
from typing import Any

UUID = "GPU-00000000-0000-0000-0000-000000000001"
ERROR = "CUDA error: unspecified launch failure"


class Driver:
    """The functions of libnvidia-ml.so.1 that a worker calls. pynvml reports all others as not supported."""

    def nvmlInitWithFlags(self, _flags: int) -> int:  # noqa: N802  # the library's own names
        return 0

    def nvmlShutdown(self) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = 1
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, _index: Any, _handle: Any) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetHandleByUUID(self, _uuid: Any, _handle: Any) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetName(self, _handle: Any, name: Any, _length: Any) -> int:  # noqa: N802
        name.value = b"GPU of a test"
        return 0

    def nvmlDeviceGetUUID(self, _handle: Any, uuid: Any, _length: Any) -> int:  # noqa: N802
        uuid.value = UUID.encode()
        return 0

    def nvmlDeviceGetMemoryInfo(self, _handle: Any, memory: Any) -> int:  # noqa: N802
        memory._obj.total = 16 * 2**30
        return 0


def work(broken: Path) -> None:
    """Run the worker."""
    import pynvml  # noqa: PLC0415  # each mode imports only its own process's code

    from worker.supervisor import attempt  # noqa: PLC0415
    from worker.supervisor.child import device_guard, process  # noqa: PLC0415

    pynvml.nvmlLib = Driver()
    # The tests find training processes by the last argument.
    train_program = (__file__, "train", str(broken), "worker.training")
    check_program = (__file__, "check", str(broken))
    start = functools.partial(process.start_child, program=train_program)
    guard = functools.partial(device_guard.DeviceGuard, program=check_program)
    setattr(attempt, "start_child", start)  # noqa: B010  # a module of another package: mypy allows no assignment
    setattr(device_guard, "DeviceGuard", guard)  # noqa: B010
    sys.argv = sys.argv[:1]
    runpy.run_module("worker.celery_app", run_name="__main__", alter_sys=True)


def check(broken: Path) -> None:
    """Check the device."""
    if broken.exists():
        sys.exit(f"a small 4-bit matrix product failed: {ERROR}")


def train(broken: Path, arguments: list[str]) -> None:
    """Train until the device breaks."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch  # noqa: PLC0415  # each mode imports only its own process's code

    from worker.training.__main__ import main  # noqa: PLC0415
    from worker.training.rundir.stop import Stop  # noqa: PLC0415

    is_requested = Stop.check

    def check_stop(self: Stop) -> None:
        if broken.exists():
            raise torch.AcceleratorError(ERROR)
        is_requested(self)

    Stop.check = check_stop  # type: ignore[method-assign]
    os._exit(main(arguments))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["check", broken, *_]:
            check(Path(broken))
        case ["train", broken, _, *arguments]:
            train(Path(broken), arguments)
        case [broken]:
            work(Path(broken))
