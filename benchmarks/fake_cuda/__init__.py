"""Lets a build of torch without CUDA run the training step on fake CUDA tensors.

For predictions only: no values are computed.
"""

import ctypes
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path


def enable() -> None:
    """Compile and load the fake device unless torch has CUDA. Call it before torch is imported; needs g++.

    Raises RuntimeError if torch has been imported.
    """
    if "torch" in sys.modules:
        raise RuntimeError("benchmarks.fake_cuda.enable must be called before torch is imported")
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        raise RuntimeError("torch is not installed")
    root = Path(found.origin).parent
    if (root / "lib" / "libtorch_cuda.so").exists():
        return
    for name in ("libtorch_global_deps.so", "libtorch_cpu.so"):
        ctypes.CDLL(str(root / "lib" / name), ctypes.RTLD_GLOBAL)
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "device.so"
        source = Path(__file__).with_name("device.cpp")
        options = ["-std=c++20", "-shared", "-fPIC", "-O0", f"-I{root}/include", f"-L{root}/lib"]
        libraries = ["-lc10", "-ltorch_cpu"]
        subprocess.run(["g++", *options, str(source), "-o", str(library), *libraries], check=True)
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    _skip_checks_of_the_driver()


def _skip_checks_of_the_driver() -> None:
    """Make autocast treat the fake device as a GPU that supports bfloat16."""
    import torch  # noqa: PLC0415 - only after the device is loaded

    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    torch.cuda.is_bf16_supported = lambda *_arguments, **_options: True
