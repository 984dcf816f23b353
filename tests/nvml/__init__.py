"""A stub of NVIDIA's driver library, for processes that a test starts on a machine without a GPU."""

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("stub.c")
LIBRARY = "libnvidia-ml.so.1"


def build_stub(directory: Path) -> Path:
    """Compile the stub into the directory and return the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", str(directory / LIBRARY), str(SOURCE)], check=True
    )
    return directory


def with_gpus(stub: Path, gpus: str) -> dict[str, str]:
    """Return the environment variables that make a process find these GPUs (stub.c describes the format)."""
    return {"LD_LIBRARY_PATH": str(stub), "STUB_GPUS": gpus}


def uuid_of(number: int) -> str:
    """Return the uuid of the test GPU with this number."""
    return f"GPU-{number}0000000-0000-0000-0000-000000000000"
