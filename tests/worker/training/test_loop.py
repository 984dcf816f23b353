"""A step on a GPU waits for the device once, at its end. A CPU replaces the GPU but uses the settings of a GPU run."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from contracts.record import MetricRecord
from tests.tiny_model import make_rows
from tests.worker.training.harness.host_reads import host_reads
from tests.worker.training.harness.run_directory import make_run_dir, records, run_here, summary_of
from tests.worker.training.learning.test_loss import ragged_samples
from worker.training import loop, run
from worker.training.compute.device import Device, choose_device
from worker.training.data.batches import pack
from worker.training.learning.loss import sum_nll
from worker.training.model import load, varlen
from worker.training.model.trainable import TrainableModel

READ = "read"


def attend(
    query: Tensor, key: Tensor, value: Tensor, cu_seq: Tensor, *_: Any, **options: Any
) -> Tensor:
    """Replace torch's varlen kernel for [T, heads, size] without reading any values."""
    places = torch.arange(len(query))
    owners = torch.bucketize(places, cu_seq[1:], right=True)
    mask = (owners[:, None] == owners[None]) & (places[:, None] >= places[None])
    q, k, v = (whole.transpose(0, 1)[None] for whole in (query, key, value))
    output = scaled_dot_product_attention(
        q, k, v, attn_mask=mask, scale=options["scale"], enable_gqa=options["enable_gqa"]
    )
    return output[0].transpose(0, 1)


class Remote(Device):
    """Counts the tensors that it uploads."""

    uploads = 0

    def upload(self, tensor: Tensor) -> Tensor:
        Remote.uploads += 1
        return tensor


@pytest.fixture
def like_a_gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Select everything that a run on a GPU selects; return the part that belongs in the spec."""
    monkeypatch.setattr(load, "maskless_attention", lambda *_, **__: varlen.VARLEN)
    monkeypatch.setattr(varlen, "varlen_attn", attend)
    cpu = choose_device("bfloat16", None)
    remote = Remote(cpu.torch_device, cpu.name, cpu.compute_dtype, cpu.compute_reason)
    monkeypatch.setattr(run, "choose_device", lambda *_: remote)
    monkeypatch.setattr(Remote, "uploads", 0)
    engine = {"fused_optimizer": True, "fused_lora": True, "token_budget": 64}
    return {"engine": engine, "quantization": {"compute_dtype": "bfloat16"}}


def test_a_step_waits_once_for_the_device_and_its_duration_includes_the_devices_work(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, like_a_gpu: dict[str, Any]
) -> None:
    now = [0.0]
    events: list[str] = []
    uploads: list[int] = []

    def read() -> None:
        now[0] += 5  # as if the device had that much work left
        events.append(READ)

    train = loop.train

    def counted(running: Any) -> None:
        with host_reads(read, events.append):
            train(running)
        uploads.append(Remote.uploads)

    monkeypatch.setattr(run, "train", counted)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    spec = like_a_gpu | {
        "training": {"per_device_batch_size": 4, "gradient_accumulation_steps": 2, "max_steps": 2},
        "evaluation": {"every_steps": 100},
    }
    run_dir = make_run_dir(tmp_path, tiny_model, make_rows(14), spec)

    assert run_here(run_dir).status == "succeeded"

    choices = summary_of(run_dir).choices
    assert choices["attention"]["value"] == varlen.VARLEN
    assert choices["fused_lora"]["value"] is True
    found = [r for r in records(run_dir) if isinstance(r, MetricRecord) and "loss" in r.values]
    assert [r.values["seconds"] for r in found] == [5.0] * 2  # one read in each step
    optimizer = len(events) - events[::-1].index("_fused_adamw_")
    assert READ in events[optimizer:]  # in the last step, no operation runs after the read
    assert events.count("embedding") > 4
    assert uploads == [6 * events.count("embedding")]  # all tensors of each micro-batch


def test_with_a_mask_a_micro_batch_waits_once(load: Callable[..., TrainableModel]) -> None:
    model = load()
    model.peft_model.get_base_model().set_attn_implementation("sdpa")
    (batch,) = pack(ragged_samples(12), 4096)
    count: list[int] = []

    with host_reads(lambda: count.append(1)):
        sum_nll(model, batch).backward()  # type: ignore[no-untyped-call]  # untyped in torch

    assert count == [1]


@pytest.mark.parametrize(
    "read",
    [
        Tensor.item,
        Tensor.tolist,
        Tensor.cpu,
        Tensor.numpy,
        float,
        torch.nonzero,
        lambda ones: ones.sum() > 0 and None,
        lambda ones: ones[ones.bool()],
        lambda ones: ones.to("cpu"),
    ],
)
def test_every_kind_of_read_is_counted(read: Callable[[Tensor], Any]) -> None:
    count: list[int] = []
    ones = torch.ones(1)
    with host_reads(lambda: count.append(1)):
        ones.add(1).sum()
        assert not count
        read(ones)
    assert count == [1]


def test_a_gpu_copies_from_pinned_memory_without_waiting() -> None:
    calls: list[Any] = []
    pinned = SimpleNamespace(to=lambda *to, **options: calls.append((to, options)))
    gpu = Device(torch.device("cuda"), "a GPU", torch.bfloat16, "")
    pageable: Any = SimpleNamespace(pin_memory=lambda: pinned)

    gpu.upload(pageable)

    assert calls == [((torch.device("cuda"),), {"non_blocking": True})]
