from pathlib import Path

import pytest
import torch

from contracts.failure import FailureReason
from tests.worker.training.conftest import small_spec
from tests.worker.training.harness.run_directory import make_run_dir, run_here
from worker.training.compute.compiler import check_compiler
from worker.training.compute.device import Device
from worker.training.errors import TrainingError

CPU = Device(torch.device("cpu"), "a CPU", torch.float32, "")
GPU = Device(torch.device("cuda"), "a GPU", torch.bfloat16, "")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


def _install(tools: Path, name: str) -> None:
    (tools / name).write_text("#!/bin/sh\n")
    (tools / name).chmod(0o755)


@pytest.mark.parametrize(("device", "language"), [(CPU, "C++"), (GPU, "C")])
def test_a_run_that_needs_a_missing_compiler_is_rejected_with_advice(
    tools: Path, device: Device, language: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        check_compiler(small_spec(engine={"compile": True}), device)

    assert caught.value.failure.reason is FailureReason.SPEC_REFUSED
    assert f"a {language} compiler" in caught.value.failure.detail
    assert "set engine.compile to false" in caught.value.failure.detail


def test_a_cpu_needs_a_cpp_compiler_and_a_gpu_a_c_compiler(tools: Path) -> None:
    spec = small_spec(engine={"compile": True})
    _install(tools, "gcc")

    check_compiler(spec, GPU)
    with pytest.raises(TrainingError):
        check_compiler(spec, CPU)
    _install(tools, "g++")
    check_compiler(spec, CPU)


def test_a_run_without_compilation_needs_no_compiler(tools: Path) -> None:
    check_compiler(small_spec(), CPU)


def test_a_job_without_the_compiler_it_needs_fails_before_its_model_is_loaded(
    tools: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run_dir = make_run_dir(tmp_path, tiny_model, spec={"engine": {"compile": True}})

    outcome = run_here(run_dir)

    assert outcome.failure is not None
    assert outcome.failure.reason is FailureReason.SPEC_REFUSED
    assert outcome.failure.evidence == {"missing": "g++"}
