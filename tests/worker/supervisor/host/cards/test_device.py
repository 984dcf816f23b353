import socket
from collections.abc import Mapping
from pathlib import Path

import pynvml
import pytest

from tests.worker.supervisor.device_states import record_failed
from worker.settings import Settings
from worker.supervisor.host.cards.device import DeviceMissing, find_device
from worker.supervisor.host.identity import describe_worker, slot_name, slug, worker_home


def _has_gpu() -> bool:
    try:
        pynvml.nvmlInit()
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return False
    return True


def test_a_cpu_has_a_name_and_a_memory_size() -> None:
    device = find_device("cpu", {})

    assert device.kind == "cpu"
    assert device.name
    assert device.memory_bytes > 2**28


@pytest.mark.skipif(_has_gpu(), reason="there is a GPU")
def test_without_a_gpu_auto_selects_the_cpu_and_cuda_is_an_error() -> None:
    assert find_device("auto", {}).kind == "cpu"
    with pytest.raises(DeviceMissing, match="STEPLINE_DEVICE"):
        find_device("cuda", {})


@pytest.mark.gpu
@pytest.mark.skipif(not _has_gpu(), reason="there is no GPU")
@pytest.mark.parametrize("environ", [{}, {"CUDA_VISIBLE_DEVICES": "0"}])
def test_a_gpu_is_found_and_identified_by_its_uuid(environ: Mapping[str, str]) -> None:
    device = find_device("auto", environ)

    assert device.kind == "cuda"
    assert device.uuid is not None
    assert find_device("cuda", {"CUDA_VISIBLE_DEVICES": device.uuid}) == device


@pytest.mark.gpu
@pytest.mark.skipif(not _has_gpu(), reason="there is no GPU")
def test_a_worker_uses_the_cpu_if_all_gpus_are_hidden() -> None:
    assert find_device("auto", {"CUDA_VISIBLE_DEVICES": ""}).kind == "cpu"


@pytest.mark.skipif(_has_gpu(), reason="this machine has a GPU")
@pytest.mark.parametrize("name", ["north", None])
def test_a_worker_that_has_lost_its_gpu_uses_the_cpu_only_if_the_settings_say_so(
    tmp_path: Path, name: str | None
) -> None:
    settings = Settings(work_dir=tmp_path, worker_name=name)
    assert describe_worker(settings, {}).device.kind == "cpu"
    home = worker_home(tmp_path, name or f"{socket.gethostname()}-GPU-0123")
    home.mkdir(parents=True)
    record_failed(home, "it fell off the bus")

    with pytest.raises(DeviceMissing, match="STEPLINE_DEVICE=cpu"):
        describe_worker(settings, {})

    assert describe_worker(settings, {"CUDA_VISIBLE_DEVICES": ""}).device.kind == "cpu"
    chosen = settings.model_copy(update={"device": "cpu"})
    assert describe_worker(chosen, {}).device.kind == "cpu"


def test_a_worker_has_a_stable_name_and_a_slot() -> None:
    settings = Settings(device="cpu", worker_name="north/1")
    worker = describe_worker(settings, {})

    assert worker.worker_id == "north/1"
    assert slot_name(worker) == "cpu-north_1"
    assert worker.versions["torch"]


def test_a_worker_name_becomes_one_safe_path_component() -> None:
    assert slug("../a b") == "_a_b"
    assert slug("..") == "_"
