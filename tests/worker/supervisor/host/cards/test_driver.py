"""If the driver is too old for torch, or torch was built without CUDA, the error says what to install."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nvml import build_stub, uuid_of, with_gpus

CHECK = """
from worker.supervisor.host.cards.driver import DriverTooOld, check_driver
try:
    print(check_driver())
except DriverTooOld as error:
    print("too old:", error)
"""
VERSION = """
from typing import Optional
__version__ = '2.13.0'
debug = False
cuda: Optional[str] = {cuda}
git_version = 'cuda'
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stub(tmp_path_factory.mktemp("nvml"))


def check(stub: Path, directory: Path, cuda: str | None, driver: str, supported: int) -> str:
    """Check a driver with a torch that was built for this version of CUDA."""
    torch = directory / "torch"
    torch.mkdir(parents=True)
    (torch / "__init__.py").write_text("raise ImportError('the check must not import torch')")
    (torch / "version.py").write_text(VERSION.format(cuda=repr(cuda)))
    variables = {"STUB_DRIVER": driver, "STUB_CUDA": str(supported), "PYTHONPATH": str(directory)}
    process = subprocess.run(
        [sys.executable, "-c", CHECK],
        env={"PATH": os.environ["PATH"]} | with_gpus(stub, uuid_of(0)) | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout.strip()


def test_a_driver_for_an_older_major_version_of_cuda_is_rejected_with_the_driver_to_install(
    stub: Path, tmp_path: Path
) -> None:
    found = check(stub, tmp_path, "13.0", "535.183.01", 12020)

    assert found.startswith("too old: the NVIDIA driver 535.183.01 supports CUDA 12.2")
    assert "needs CUDA 13.0. Install driver 580.65.06 or later" in found


def test_a_driver_supports_older_versions_and_later_minor_versions_of_its_cuda(
    stub: Path, tmp_path: Path
) -> None:
    assert check(stub, tmp_path / "same", "13.2", "580.95.05", 13000) == "None"
    assert check(stub, tmp_path / "older", "12.6", "580.95.05", 13000) == "None"


def test_a_torch_build_without_cuda_is_reported(stub: Path, tmp_path: Path) -> None:
    found = check(stub, tmp_path, None, "580.95.05", 13000)

    assert "the installed torch was built without CUDA" in found
