import pytest
import torch

from contracts.failure import FailureReason
from worker.training.compute.device import Device, check_four_bit, choose_device
from worker.training.errors import TrainingError


def test_4_bit_products_on_this_device_are_correct() -> None:
    check_four_bit(choose_device("float32", None))
    check_four_bit(choose_device("bfloat16", None))


def test_the_error_for_an_unusable_device_contains_the_library_versions() -> None:
    unusable = Device(torch.device("meta"), "a device without memory", torch.float32, "test")

    with pytest.raises(TrainingError) as caught:
        check_four_bit(unusable)

    assert caught.value.failure.reason is FailureReason.DEVICE_FAILED
    assert "torch" in caught.value.failure.evidence
    assert "bitsandbytes" in caught.value.failure.evidence


def test_a_device_without_free_memory_does_not_count_as_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def allocate(*_: object) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")

    monkeypatch.setattr("worker.training.compute.device._four_bit_error", allocate)

    with pytest.raises(torch.OutOfMemoryError):
        check_four_bit(choose_device("float32", None))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a usable GPU")
def test_a_gpu_that_torch_cannot_use_is_never_replaced_by_the_cpu() -> None:
    with pytest.raises(TrainingError) as caught:
        choose_device("auto", "0")

    assert caught.value.failure.reason is FailureReason.DEVICE_FAILED


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a usable GPU")
def test_a_cpu_computes_in_float32_unless_it_has_matrix_units_for_bfloat16() -> None:
    device = choose_device("auto", "")

    has_units = torch.cpu.get_capabilities().get("amx_bf16", False)
    assert device.compute_dtype is (torch.bfloat16 if has_units else torch.float32)
