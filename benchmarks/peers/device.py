"""Answers questions about the device that torch uses, in a child process, so that the caller needs no context on the GPU.

    python -m benchmarks.peers.device describe
    python -m benchmarks.peers.device peak bfloat16

A context takes GPU memory from the programs that are measured. In exclusive-process mode, it also prevents them from starting.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Device:
    """The first device that torch can use."""

    name: str = "CPU"
    gpus: int = 0
    """Number of GPUs that torch can use."""
    memory_bytes: int = 0
    """Total memory of the GPU; 0 on a CPU."""
    capability: str | None = None
    """Compute capability, such as 8.0; None on a CPU."""
    cuda: str | None = None
    """Version of CUDA; None on a CPU."""

    @property
    def is_gpu(self) -> bool:
        """Whether torch can use a GPU."""
        return self.gpus > 0


@cache
def find_device() -> Device:
    """Return the device. Raises SystemExit with the end of the child's output if it fails."""
    return Device(**_ask("describe"))


@cache
def find_peak_flops(compute_dtype: str) -> float:
    """Return the device's FLOP/s in a large matrix multiplication: the best of five runs. Raises SystemExit as above."""
    return float(_ask("peak", compute_dtype))


def one_gpu() -> dict[str, str]:
    """Return the variables that show a process only the first GPU. With several, Trainer would take a batch for each of them."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    return {"CUDA_VISIBLE_DEVICES": shown.partition(",")[0]}


def _ask(*question: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.device", *question],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-4000:] or f"exit status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def describe() -> Device:
    """Return the device, in the process that may have a context."""
    import torch  # noqa: PLC0415 - only in the child

    if not torch.cuda.is_available():
        return Device()
    _, total = torch.cuda.mem_get_info()
    return Device(
        name=torch.cuda.get_device_name(),
        gpus=torch.cuda.device_count(),
        memory_bytes=total,
        capability=".".join(str(part) for part in torch.cuda.get_device_capability()),
        cuda=torch.version.cuda,
    )


def measure_peak_flops(compute_dtype: str) -> float:
    """Measure FLOP/s, in the process that may have a context."""
    import torch  # noqa: PLC0415 - only in the child

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = 8192 if device == "cuda" else 2048
    square = torch.randn(size, size, device=device, dtype=getattr(torch, compute_dtype))
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        square @ square
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def main(question: str, *values: str) -> None:
    """Answer as JSON in the last line."""
    print(json.dumps(asdict(describe()) if question == "describe" else measure_peak_flops(*values)))


if __name__ == "__main__":
    main(*sys.argv[1:])
